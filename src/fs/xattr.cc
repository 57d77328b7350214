// The part of FileSystem that answers for extended attributes.

#include <fmt/format.h>

#include <array>

#include "fs/file_system.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using util::Error;

constexpr std::string_view kPrefix = "user.skopsfs.";

}  // namespace

// Why a node cannot be used; empty when it can. Finds out, if nobody has tried yet.
std::string FileSystem::ReasonOfFailure(NodeId node) {
  try {
    // Also of a version that is gone.
    if (auto reason = SlotOf(node)->FailureOf(node.index)) return std::move(*reason);
    if (const auto slot = SlotOf(node); slot->is_plain_file) return catalog_.OpenKnown(slot), "";
    auto located = Locate(node);
    if (!node.is_name()) {
      if (!located.member().is_directory) ExtentOf(located);
    } else if (located.name().kind == by_name::NameTree::Kind::kNpz) {
      OpenNpz(located, located.names->NumberOfNpz(node.name()));
    }
    return {};
  } catch (const Error& error) {
    return error.code() == ESTALE ? std::string() : error.what();
  }
}

// A symbolic link has no attributes: the kernel would list them and refuse to read them (xattr(7)).
bool FileSystem::IsLink(NodeId node) {
  if (!node.is_name()) return false;
  try {
    return Locate(node).name().is_link();
  } catch (const Error&) {
    return false;  // by-name itself, where there are no names
  }
}

// Inside its archive; for people, so what cannot be found out has no name.
std::string FileSystem::PathOf(NodeId node) {
  try {
    const auto index = SlotOf(node)->open().index;
    // Also of a version that is gone.
    if (index && node.index < index->node_count()) return index->PathOf(node.index);
    return Locate(node).Path();
  } catch (const std::exception&) {
    return "?";
  }
}

std::optional<std::string> FileSystem::GetXattr(NodeId node, std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  if (node.is_status()) return std::nullopt;
  const auto slot = SlotOf(node);
  if (slot->is_folder || IsLink(node)) return std::nullopt;
  if (name == "archive" && !slot->is_plain_file) return catalog_.LabelOf(*slot);
  if (name == "error") {
    auto reason = ReasonOfFailure(node);
    return reason.empty() ? std::nullopt : std::optional(std::move(reason));
  }
  if (node.index == 0 || node.is_name()) return std::nullopt;
  const auto located = Locate(node);
  if (name == "member") return located.Path();
  if (located.member().is_directory) return std::nullopt;
  const auto& entry = *located.archive().EntryOf(located.index);
  if (name == "method") return zip::MethodName(entry.method);
  if (name == "compressed_size") return std::to_string(entry.compressed_size);
  if (name == "crc32") return fmt::format("{:08x}", entry.crc32);
  if (name == "offset") {
    const auto extent = ExtentOf(located);
    // What is in a compressed member has no offset in the archive.
    return extent.within ? std::nullopt : std::optional(std::to_string(extent.offset));
  }
  return std::nullopt;
}

std::vector<std::string> FileSystem::ListXattr(NodeId node) {
  constexpr std::array<std::string_view, 7> kNames = {
      "archive", "member", "method", "offset", "compressed_size", "crc32", "error"};
  std::vector<std::string> names;
  for (const auto name : kNames) {
    const std::string full = std::string(kPrefix) + std::string(name);
    try {
      if (GetXattr(node, full)) names.push_back(full);
    } catch (const Error&) {
      // It cannot be had; "error" says why.
    }
  }
  return names;
}

}  // namespace skopsfs::fs
