#include "ctl/tree.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "ctl/app.h"
#include "ctl/files.h"
#include "ctl/mounts.h"
#include "ctl/text.h"
#include "util/error.h"
#include "util/json.h"

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
  using Use = std::function<void(const std::vector<std::string>& cells)>;

  static void ForEach(const Tree& tree, const Use& use) {
    Rows rows(use);
    for (const auto& item : tree.items) rows.Add(item);
  }

 private:
  explicit Rows(const Use& use) : use_(use) {}

  void Add(const TreeItem& item) {
    const auto parts = item.is_named ? PartsOf(item.name)
                                     : std::vector<std::string_view>{std::string_view(item.name)};
    size_t same = 0;  // folders that the last row was in, too
    while (same + 1 < std::min(parts.size(), last_.size() + 1) && parts[same] == last_[same]) {
      ++same;
    }
    for (size_t i = same; i + 1 < parts.size(); ++i) {
      const bool is_problem = i + 2 == parts.size() && parts.back().empty();
      if (!is_problem) use_({std::string(2 * i, ' ') + NameText(parts[i]) + "/"});
    }
    last_.assign(parts.begin(), parts.end() - 1);
    AddRow(item, parts);
  }

  void AddRow(const TreeItem& item, const std::vector<std::string_view>& parts) {
    const bool is_folder = parts.size() > 1 && parts.back().empty();
    const size_t depth = parts.size() - (is_folder ? 2 : 1);
    std::vector<std::string> cells(8);
    cells[0] = std::string(2 * depth, ' ') + NameText(parts[depth]) + (is_folder ? "/" : "");
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
    use_(cells);
  }

  const Use& use_;
  std::vector<std::string_view> last_;  // the folders of the last row
};

}  // namespace

bool Tree::Add(TreeItem item) {
  size_t more = sizeof(TreeItem) + item.name.capacity() + item.member.capacity();
  more += item.method.capacity() + item.problem.capacity();
  if (item.array) more += item.array->dtype.capacity() + item.array->shape.capacity() * 8;
  is_cut = is_cut || bytes + more > kMostBytes;
  if (is_cut) return false;
  bytes += more;
  items.push_back(std::move(item));
  return true;
}

void PrintText(const std::string& path, const Tree& tree, const Print& print) {
  Columns columns({{"NAME"},
                   {"DTYPE"},
                   {"SHAPE"},
                   {"ORDER"},
                   {"SIZE", true},
                   {"METHOD"},
                   {"ALIGNED"},
                   {"MEMBER"}});
  Rows::ForEach(tree, [&](const auto& cells) { columns.Measure(cells); });
  print(NameText(path) + "\n");
  if (!tree.items.empty()) print(columns.TitleLine());
  Rows::ForEach(tree, [&](const auto& cells) { print(columns.Line(cells)); });
  if (!tree.names_problem.empty()) print(fmt::format("no names: {}\n", tree.names_problem));
  if (tree.is_cut) {
    print(fmt::format("these are the first {} members; the rest is left out\n", tree.items.size()));
  }
}

void PrintJson(const std::string& path, const Tree& tree, const Print& print) {
  util::JsonWriter json;
  json.BeginObject().Key("archive").Text(path).Key("names_problem").TextOrNull(tree.names_problem);
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
    print(json.EndObject().Take());
  }
  print(json.EndArray().EndObject().Line());
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
    (json ? PrintJson : PrintText)(path, tree, [](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
    });
    return kExitGood;
  } catch (const util::Error& error) {
    fmt::print(stderr, "skopsfsctl: {}: {}\n", NameText(path), error.what());
    return error.code() == EIO || error.code() == EFBIG ? kExitWrong : kExitNotDone;
  }
}

}  // namespace skopsfs::ctl
