#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/npy_header.h"

namespace skopsfs::ctl {

// A member of an archive, under the name that the model gives it.
struct TreeItem {
  std::string name = {};    // path in by-name, or that of the member if no name leads to it
  std::string member = {};  // path in the archive
  bool is_named = true;
  uint64_t size = 0;  // decoded
  std::string method = {};
  std::optional<NpyHeader> array = {};  // of a .npy
  std::string problem = {};             // why it cannot be shown; empty when it can
};

// Bounded, whatever the archive holds.
struct Tree {
  static constexpr size_t kMostBytes = size_t{64} << 20;  // in memory

  std::vector<TreeItem> items;  // names in the order of folders, then the others
  std::string names_problem;    // why there are no names; empty when there are, or no schema
  bool is_cut = false;          // there are more items
  size_t bytes = 0;             // of the items

  // False when there is no room for it. Then there is none for any later item either.
  bool Add(TreeItem item);
};

// The tree of an archive file, read without a mount, and that of a directory of a mount, as the
// mount shows it. Throw util::Error when there is none; the code is EIO or EFBIG when that is the
// archive's fault.
Tree ReadTreeOfFile(const std::string& path);
Tree ReadTreeOfMount(const std::string& path);

// A table for people, and a JSON document, printed piece by piece.
using Print = std::function<void(std::string_view)>;
void PrintText(const std::string& path, const Tree& tree, const Print& print);
void PrintJson(const std::string& path, const Tree& tree, const Print& print);

// Prints the tree of `path`; returns the exit code, see app.h.
int ShowTree(const std::string& path, bool json);

}  // namespace skopsfs::ctl
