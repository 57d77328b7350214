#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "ctl/npy_header.h"
#include "util/error.h"
#include "util/utf8.h"

// Any front of a file: its header is read, or util::Error says why not; and what it says of the
// array can be printed and lies in the file.

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto front = bytes.first(std::min(size, skopsfs::ctl::kMostNpyHeader));
  try {
    const auto header = skopsfs::ctl::ParseNpyHeader(front, size);
    Require(header.data_offset >= 10 && header.data_offset <= front.size());
    Require(header.shape.size() <= 64);
    Require(!header.dtype.empty() && skopsfs::util::IsUtf8(header.dtype));
    Require(header.dtype.size() <= 2 * size);
    Require(skopsfs::ctl::ShapeText(header.shape).size() >= 2);
  } catch (const skopsfs::util::Error&) {
    // The reason why not.
  }
  return 0;
}
