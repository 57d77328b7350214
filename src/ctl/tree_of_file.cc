// Reads the tree of an archive file.

#include <algorithm>
#include <map>
#include <utility>

#include "archive/inner_archive.h"
#include "by_name/name_tree.h"
#include "catalog/schema.h"
#include "ctl/archive_target.h"
#include "ctl/files.h"
#include "ctl/tree.h"
#include "util/error.h"
#include "zip/format.h"
#include "zip/sizes.h"

namespace skopsfs::ctl {
namespace {

using by_name::NameTree;
using util::Error;

// Not thread-safe.
class TreeReader {
 public:
  explicit TreeReader(const std::string& path) : path_(path) {
    std::string why;
    archive_ = OpenArchiveFile(path, why);
    if (!archive_.index) throw Error(EIO, why);
  }

  Tree Read() {
    try {
      ReadNames();
    } catch (const Error& error) {
      tree_.names_problem = error.what();
    }
    for (const uint32_t node : archive_.index->MembersInFileOrder()) {
      if (tree_.is_cut) break;
      if (found_.contains({NameTree::Kind::kLink, node})) continue;
      const std::string name = archive_.index->PathOf(node);
      Add({.name = name, .member = name, .is_named = false}, *archive_.index, node,
          [&] { return ExtentOf(node); });
    }
    return std::move(tree_);
  }

 private:
  archive::Extent ExtentOf(uint32_t node) const {
    return archive::LocateMember(*archive_.file, *archive_.index, *archive_.index->EntryOf(node));
  }

  template <typename Locate>
  void Add(TreeItem item, const archive::ArchiveIndex& index, uint32_t node, const Locate& locate) {
    const zip::Entry& entry = *index.EntryOf(node);
    item.size = zip::SizesOf(index.directory(), entry).shown;
    item.method = zip::MethodName(entry.method);
    try {
      archive::MemberReader reader(archive_.file, locate(), pool_);
      if (item.member.ends_with(".npy")) {
        std::vector<std::byte> front(std::min<uint64_t>(entry.size, kMostNpyHeader));
        reader.Read(0, front);
        item.array = ParseNpyHeader(front, entry.size);
      }
    } catch (const Error& error) {
      item.problem = error.what();
    }
    tree_.Add(std::move(item));
  }

  void ReadNames() {
    const auto schema = catalog::SchemaOf(*archive_.index);
    if (!schema) return;
    archive::MemberReader reader(archive_.file, ExtentOf(*schema), pool_);
    const NameTree names(catalog::ReadObjectsOf(reader, *archive_.index));
    AddChildren(names, 0, "");
  }

  void AddChildren(const NameTree& names, uint32_t folder, const std::string& above) {
    const auto parent = names.At(folder);
    for (uint32_t i = 0; i < parent.child_count && !tree_.is_cut; ++i) {
      const auto child = names.At(parent.first_child + i);
      const std::string name = above + std::string(child.name);
      if (child.kind == NameTree::Kind::kFolder) {
        AddChildren(names, parent.first_child + i, name + "/");
      } else {
        AddMember(child, name);
      }
    }
  }

  // Reads it under its first name only: a model may have one member under very many.
  void AddMember(const NameTree::Node& child, const std::string& name) {
    const auto [known, is_new] = found_.try_emplace({child.kind, child.member});
    Found& found = known->second;
    for (size_t i = found.begin; i < found.end; ++i) {
      TreeItem item = tree_.items[i];
      item.name.replace(0, found.name_size, name);
      tree_.Add(std::move(item));
    }
    if (!is_new) return;
    found = {.begin = tree_.items.size(), .name_size = name.size()};
    if (child.kind == NameTree::Kind::kNpz) {
      AddInner(child.member, name + "/");
    } else {
      Add({.name = name, .member = archive_.index->PathOf(child.member)}, *archive_.index,
          child.member, [&] { return ExtentOf(child.member); });
    }
    found.end = tree_.items.size();
  }

  // What is in the npz `member`; what is wrong with that as a whole is said beside its link.
  void AddInner(uint32_t member, const std::string& above) {
    const std::string outer = archive_.index->PathOf(member);
    try {
      const archive::InnerArchive inner(archive_.file, ExtentOf(member), pool_,
                                        path_ + "/" + outer);
      for (uint32_t node = 0; node < inner.index().node_count(); ++node) {
        if (inner.index().node(node).is_directory) continue;
        const std::string path = inner.index().PathOf(node);
        Add({.name = above + path, .member = JoinPath(outer, path)}, inner.index(), node,
            [&] { return inner.Locate(node); });
      }
    } catch (const Error& error) {
      tree_.Add({.name = above, .member = outer, .problem = error.what()});
    }
  }

  // The items of a member.
  struct Found {
    size_t begin = 0;
    size_t end = 0;
    size_t name_size = 0;
  };

  const std::string path_;
  archive::DecoderPool pool_;
  OpenedArchive archive_;
  std::map<std::pair<NameTree::Kind, uint32_t>, Found> found_;  // under their first names
  Tree tree_;
};

}  // namespace

Tree ReadTreeOfFile(const std::string& path) { return TreeReader(path).Read(); }

}  // namespace skopsfs::ctl
