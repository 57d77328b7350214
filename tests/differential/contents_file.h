#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>

#include "json_line.h"

namespace skopsfs::differential {

// The file that the bytes of all members go to, one after the other, for compare.py to compare
// with: a digest could hide a difference and would not show where it is.
class ContentsFile {
 public:
  explicit ContentsFile(const char* path) : file_(std::fopen(path, "wb")) {
    if (file_ == nullptr) throw std::runtime_error(std::string("cannot write ") + path);
  }
  ~ContentsFile() { std::fclose(file_); }
  ContentsFile(const ContentsFile&) = delete;
  ContentsFile& operator=(const ContentsFile&) = delete;

  // Returns where they are, as the JSON list [offset, length].
  std::string Append(std::span<const std::byte> bytes) {
    if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
      throw std::runtime_error("cannot write the contents");
    }
    const auto place = fmt::format("[{},{}]", size_, bytes.size());
    size_ += bytes.size();
    return place;
  }

 private:
  std::FILE* file_;
  uint64_t size_ = 0;
};

// Bytes read of one member at most. Whatever is compared here is far smaller; only a damaged size
// field asks for more.
inline constexpr uint64_t kMostRead = uint64_t{64} << 20;

}  // namespace skopsfs::differential
