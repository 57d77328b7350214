// Prints what libzip reads of the archives it is given, one JSON object a line, for compare.py.
//
//   libzip_archives SOURCE CONTENTS
//
// A program of its own, because libzip may crash on damaged archives where skopsfs must not.

#include <zip.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "contents_file.h"
#include "json_line.h"

namespace skopsfs::differential {
namespace {

// The member's bytes; nothing where libzip reports an error.
std::optional<std::vector<std::byte>> ReadMember(zip_t* archive, zip_uint64_t index) {
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(archive, index, 0),
                                                               &zip_fclose);
  if (!file) return std::nullopt;
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> block;
  while (bytes.size() < kMostRead) {
    const auto got = zip_fread(file.get(), block.data(), block.size());
    if (got < 0) return std::nullopt;
    if (got == 0) return bytes;
    bytes.insert(bytes.end(), block.begin(), block.begin() + got);
  }
  return std::nullopt;
}

void ShowArchive(const std::filesystem::path& path, ContentsFile& contents) {
  JsonObject line;
  line.Text("archive", path.filename().string());
  int error = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &error);
  if (archive == nullptr) {
    fmt::print("{}\n", line.Number("error", error).Str());
    return;
  }
  JsonList members;
  const auto count = static_cast<zip_uint64_t>(zip_get_num_entries(archive, 0));
  for (zip_uint64_t i = 0; i < count; ++i) {
    // As the specification has it, and zipfile: UTF-8 only where the flag says so.
    const char* name = zip_get_name(archive, i, ZIP_FL_ENC_STRICT);
    JsonObject member;
    member.Text("path", name == nullptr ? "" : name);
    if (const auto bytes = ReadMember(archive, i)) member.Raw("content", contents.Append(*bytes));
    members.Raw(member.Str());
  }
  fmt::print("{}\n", line.Raw("members", members.Str()).Str());
  zip_discard(archive);
}

}  // namespace
}  // namespace skopsfs::differential

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: libzip_archives SOURCE CONTENTS\n");
    return 2;
  }
  std::vector<std::filesystem::path> archives;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    archives.push_back(entry.path());
  }
  std::sort(archives.begin(), archives.end());
  skopsfs::differential::ContentsFile contents(argv[2]);
  for (const auto& path : archives) skopsfs::differential::ShowArchive(path, contents);
  return 0;
}
