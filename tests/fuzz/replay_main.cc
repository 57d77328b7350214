#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>

#include "support/temp_folder.h"

// Takes the place of libFuzzer in ordinary builds: runs the target once on each file given, and on
// each file in the folders given.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::set<std::string> FilesOf(int argc, char** argv) {
  std::set<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.insert(argv[i]);
      continue;
    }
    for (const auto& item : std::filesystem::directory_iterator(argv[i])) {
      if (item.is_regular_file()) files.insert(item.path().string());
    }
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto files = FilesOf(argc, argv);
  for (const std::string& file : files) {
    const std::string bytes = skopsfs::testing::ReadFile(file);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%zu inputs replayed\n", files.size());
  return files.empty() ? 1 : 0;
}
