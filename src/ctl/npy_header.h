#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace skopsfs::ctl {

// What the header of a .npy file says of the array in it.
struct NpyHeader {
  std::string dtype;  // as NumPy prints it: "float64", ">f4", "[('x', '<f8'), ('y', '<f8')]"
  std::vector<uint64_t> shape;
  bool fortran_order = false;
  uint64_t data_offset = 0;  // of the first element in the file

  // Whether the data start at a multiple of 64, as NumPy has written them since 1.14.
  bool is_aligned() const { return data_offset % 64 == 0; }
};

// This much of the front of a file is enough for every header; longer headers are refused.
inline constexpr size_t kMostNpyHeader = size_t{64} << 10;

// Parses the header of a file of `file_size` bytes. `front` holds its first bytes: all of them, or
// at least kMostNpyHeader. Takes versions 1.0, 2.0 and 3.0. The text in it is a Python literal,
// which is parsed and never run. Throws util::Error(EIO) with the reason for what NumPy would
// refuse, and for more than 64 dimensions and deeply nested literals.
NpyHeader ParseNpyHeader(std::span<const std::byte> front, uint64_t file_size);

// "(3, 4)", as Python shows a tuple.
std::string ShapeText(const std::vector<uint64_t>& shape);

}  // namespace skopsfs::ctl
