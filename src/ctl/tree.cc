#include "ctl/tree.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "ctl/app.h"
#include "ctl/files.h"
#include "ctl/json.h"
#include "ctl/mounts.h"
#include "ctl/text.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

std::vector<std::string_view> PartsOf(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

// The rows of the names as a tree: a folder has a row of its own before what is in it.
class Rows {
 public:
  explicit Rows(Table& table) : table_(table) {}

  void Add(const TreeItem& item) {
    const auto parts = item.is_named ? PartsOf(item.name)
                                     : std::vector<std::string_view>{std::string_view(item.name)};
    size_t same = 0;  // folders that the last row was in, too
    while (same + 1 < std::min(parts.size(), last_.size() + 1) && parts[same] == last_[same]) {
      ++same;
    }
    for (size_t i = same; i + 1 < parts.size(); ++i) {
      const bool is_problem = i + 2 == parts.size() && parts.back().empty();
      if (!is_problem) table_.Add({Indented(i, NameText(parts[i]) + "/")});
    }
    last_.assign(parts.begin(), parts.end() - 1);
    AddRow(item, parts);
  }

 private:
  static std::string Indented(size_t depth, const std::string& text) {
    return std::string(2 * depth, ' ') + text;
  }

  void AddRow(const TreeItem& item, const std::vector<std::string_view>& parts) {
    const bool is_folder = parts.size() > 1 && parts.back().empty();
    const size_t depth = parts.size() - (is_folder ? 2 : 1);
    const std::string name = NameText(parts[depth]) + (is_folder ? "/" : "");
    std::vector<std::string> cells(8);
    cells[0] = Indented(depth, name);
    if (item.array) {
      cells[1] = NameText(item.array->dtype);
      cells[2] = ShapeText(item.array->shape);
      cells[3] = item.array->fortran_order ? "F" : "C";
      cells[6] = item.array->is_aligned() ? "yes" : "no";
    }
    if (!is_folder) cells[4] = SizeText(item.size);
    cells[5] = item.method;
    if (item.is_named && !is_folder) cells[7] = NameText(item.member);
    if (!item.problem.empty()) cells[7] += (cells[7].empty() ? "" : "  ") + ("! " + item.problem);
    table_.Add(std::move(cells));
  }

  Table& table_;
  std::vector<std::string_view> last_;  // the folders of the last row
};

}  // namespace

std::string TreeText(const std::string& path, const Tree& tree) {
  Table table({{"NAME"},
               {"DTYPE"},
               {"SHAPE"},
               {"ORDER"},
               {"SIZE", true},
               {"METHOD"},
               {"ALIGNED"},
               {"MEMBER"}});
  Rows rows(table);
  for (const auto& item : tree.items) rows.Add(item);
  std::string text = fmt::format("{}\n", NameText(path));
  if (!table.empty()) text += table.Text();
  if (!tree.names_problem.empty()) text += fmt::format("no names: {}\n", tree.names_problem);
  if (tree.is_cut)
    text += fmt::format("more than {} members; the rest is left out\n", Tree::kMostItems);
  return text;
}

std::string TreeJson(const std::string& path, const Tree& tree) {
  Json json;
  json.BeginObject().Key("archive").Text(path).Key("names_problem");
  tree.names_problem.empty() ? json.Null() : json.Text(tree.names_problem);
  json.Key("is_cut").Bool(tree.is_cut).Key("members").BeginArray();
  for (const auto& item : tree.items) {
    json.BeginObject().Key("name");
    item.is_named ? json.Text(item.name) : json.Null();
    json.Key("member").Text(item.member).Key("size").Number(item.size);
    json.Key("method").Text(item.method);
    if (item.array) {
      json.Key("dtype").Text(item.array->dtype).Key("shape").BeginArray();
      for (const uint64_t length : item.array->shape) json.Number(length);
      json.EndArray().Key("order").Text(item.array->fortran_order ? "F" : "C");
      json.Key("aligned").Bool(item.array->is_aligned());
    }
    if (!item.problem.empty()) json.Key("problem").Text(item.problem);
    json.EndObject();
  }
  return json.EndArray().EndObject().Line();
}

int ShowTree(const std::string& path, bool json) {
  try {
    struct stat st {};
    if (stat(path.c_str(), &st) != 0) throw util::ErrnoError("it cannot be looked at");
    const bool is_folder = S_ISDIR(st.st_mode);
    if (is_folder && !(IsOnMount(ReadMounts(), st.st_dev) && ReadAttribute(path, "archive"))) {
      throw util::Error(EISDIR,
                        "it is a folder; give a .skops file, or the directory of one on a "
                        "mount of skopsfs");
    }
    const Tree tree = is_folder ? ReadTreeOfMount(path) : ReadTreeOfFile(path);
    fmt::print("{}", json ? TreeJson(path, tree) : TreeText(path, tree));
    return kExitGood;
  } catch (const util::Error& error) {
    fmt::print(stderr, "skopsfsctl: {}: {}\n", NameText(path), error.what());
    return error.code() == EIO || error.code() == EFBIG ? kExitWrong : kExitNotDone;
  }
}

}  // namespace skopsfs::ctl
