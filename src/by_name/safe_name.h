#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace skopsfs::by_name {

// `name` as it can stand in a path: '/', control characters and bytes that are no UTF-8 become
// "%XX", an empty name "%", and "." and ".." their "%2E". What is safe stays as it is.
std::string SafeName(std::string_view name);

// Makes the names of one folder differ. Not thread-safe.
class UniqueNames {
 public:
  // `name` and `suffix`, cut so that both fit into 255 bytes; with "~2", "~3" and so on between
  // them where that was given before.
  std::string Add(std::string_view name, std::string_view suffix);

 private:
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, size_t> tried_;  // so that many of one name take no n^2
};

}  // namespace skopsfs::by_name
