#pragma once

#include <cstdint>
#include <string>

namespace skopsfs::testing {

// Bytes that do not repeat and do not compress; the same for the same seed everywhere.
std::string Noise(size_t size, uint32_t seed = 1);

// Weights with three digits, as float64: they compress to a third.
std::string Numbers(size_t size);

// 720,000 bytes of numbered lines, which are small in every method.
std::string SampleLines();

// The same as method 12 (bzip2) or 14 (LZMA) has it; deflate at a usual level for 8.
std::string CompressedSampleLines(uint16_t method);

// Path of a file in tests/data.
std::string DataPath(const std::string& name);

}  // namespace skopsfs::testing
