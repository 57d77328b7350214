#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace skopsfs::by_name {

// `name` as it can stand in a path. '/', control characters and bytes that are no UTF-8 become
// "%XX". An empty name becomes "%". The dots of "." and ".." become "%2E". Other names stay.
std::string SafeName(std::string_view name);

// Makes the names of each folder differ, and keeps each name once. It owns them. Not thread-safe.
class UniqueNames {
 public:
  static constexpr uint32_t kNowhere = 0xffffffff;
  struct Uses {
    uint32_t folder = 0;         // the last folder that has it
    uint32_t offset = kNowhere;  // for a caller that keeps it elsewhere, too
  };
  using Name = std::pair<const std::string, Uses>;  // which stays where it is

  // The names that are added from now on are in another folder.
  void BeginFolder();

  // `name` and `suffix`, cut so that both fit into 255 bytes; with "~2", "~3" and so on between
  // them where this folder has that already.
  Name& Add(std::string_view name, std::string_view suffix);

 private:
  bool Take(Name& name);

  uint32_t folder_ = 1;
  std::unordered_map<std::string, Uses> names_;
  std::unordered_map<std::string, size_t> tried_;  // so that many of one name take no n^2
};

}  // namespace skopsfs::by_name
