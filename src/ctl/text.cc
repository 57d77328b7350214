#include "ctl/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "util/log.h"

namespace skopsfs::ctl {
namespace {

constexpr uint64_t kMinute = 60;
constexpr uint64_t kHour = 60 * kMinute;
constexpr uint64_t kDay = 24 * kHour;

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Of what has been escaped: each character is one column wide, as most are.
size_t WidthOf(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), IsContinuation));
}

std::string Escaped(std::string_view text) {
  constexpr size_t kPiece = 200;  // bytes, as many as Quoted() shows
  std::string out;
  while (!text.empty()) {
    size_t size = std::min(text.size(), kPiece);
    while (size < text.size() && size > 1 && IsContinuation(text[size])) --size;
    const std::string quoted = util::Quoted(text.substr(0, size));
    out.append(quoted, 1, quoted.size() - 2);
    text.remove_prefix(size);
  }
  return out;
}

}  // namespace

std::string SizeText(uint64_t bytes) {
  constexpr double kMiB = 1 << 20;
  const double mib = static_cast<double>(bytes) / kMiB;
  return mib < 0.1 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} MiB", mib);
}

std::string DurationText(uint64_t seconds) {
  if (seconds < kMinute) return fmt::format("{} s", seconds);
  if (seconds < kHour) return fmt::format("{} min {:02} s", seconds / kMinute, seconds % kMinute);
  if (seconds < kDay) {
    return fmt::format("{} h {:02} min", seconds / kHour, seconds % kHour / kMinute);
  }
  return fmt::format("{} d {:02} h", seconds / kDay, seconds % kDay / kHour);
}

std::string CountText(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string NameText(std::string_view name) {
  const std::string escaped = Escaped(name);
  return escaped == name && !name.empty() ? escaped : "\"" + escaped + "\"";
}

Columns::Columns(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const auto& column : columns_) widths_.push_back(WidthOf(column.title));
}

void Columns::Measure(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < std::min(cells.size(), widths_.size()); ++i) {
    const size_t width = WidthOf(cells[i]);
    if (width <= kWidest) widths_[i] = std::max(widths_[i], width);
  }
}

std::string Columns::Line(const std::vector<std::string>& cells, std::string_view indent) const {
  std::string line(indent);
  for (size_t i = 0; i < std::min(cells.size(), widths_.size()); ++i) {
    const size_t width = WidthOf(cells[i]);
    const std::string padding(std::max(widths_[i], width) - width, ' ');
    line += i == 0 ? "" : "  ";
    line += columns_[i].to_the_right ? padding + cells[i] : cells[i] + padding;
  }
  line.resize(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string Columns::TitleLine(std::string_view indent) const {
  std::vector<std::string> titles;
  for (const auto& column : columns_) titles.emplace_back(column.title);
  return Line(titles, indent);
}

}  // namespace skopsfs::ctl
