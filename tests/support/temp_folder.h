#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace skopsfs::testing {

// A folder of its own under $TMPDIR (or /tmp), removed with all that is in it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// All bytes of a file; throws std::system_error.
std::string ReadFile(const std::string& path);
// Creates the file or writes over its bytes in place, as an editor without rename does.
void WriteFile(const std::string& path, std::string_view bytes);

}  // namespace skopsfs::testing
