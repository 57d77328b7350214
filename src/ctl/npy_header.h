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

// So much of the front of a file is enough for every header that is read; longer ones are refused.
inline constexpr size_t kMostNpyHeader = size_t{64} << 10;

// Parses the header at the front of a file of `file_size` bytes, of which `front` holds the first
// ones: all of them, or kMostNpyHeader at least. Versions 1.0, 2.0 and 3.0. The text in it is a
// Python literal, which is parsed and never run; what NumPy would not take is an error, and so are
// more than 64 dimensions or literals that are nested deeply. Throws util::Error(EIO) with the
// reason.
NpyHeader ParseNpyHeader(std::span<const std::byte> front, uint64_t file_size);

// "(3, 4)", as Python shows a tuple.
std::string ShapeText(const std::vector<uint64_t>& shape);

}  // namespace skopsfs::ctl
