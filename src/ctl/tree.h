#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ctl/npy_header.h"

namespace skopsfs::ctl {

// A member of an archive, under the name that the model gives it.
struct TreeItem {
  std::string name = {};  // path in by-name; of a member that no name leads to, that of the member
  std::string member = {};  // path in the archive
  bool is_named = true;
  uint64_t size = 0;  // decoded
  std::string method = {};
  std::optional<NpyHeader> array = {};  // of a .npy
  std::string problem = {};             // why it cannot be shown; empty when it can
};

struct Tree {
  static constexpr size_t kMostItems = size_t{1} << 20;

  std::vector<TreeItem> items;  // names in the order of folders, then the others
  std::string names_problem;    // why there are no names; empty when there are, or no schema
  bool is_cut = false;          // there are more items
};

// Of an archive file, read without a mount; of a directory of a mount, as the mount shows it.
// Throws util::Error when there is none to be read; the code is EIO or EFBIG when that is the
// archive's fault.
Tree ReadTreeOfFile(const std::string& path);
Tree ReadTreeOfMount(const std::string& path);

// A table for people, and a JSON document.
std::string TreeText(const std::string& path, const Tree& tree);
std::string TreeJson(const std::string& path, const Tree& tree);

// Prints the tree of `path`; returns the exit code, see app.h.
int ShowTree(const std::string& path, bool json);

}  // namespace skopsfs::ctl
