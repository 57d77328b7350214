#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// How things are shown to people on a terminal. All functions are pure.
namespace skopsfs::ctl {

// In MiB with one decimal; in bytes when it is less than a tenth of one.
std::string SizeText(uint64_t bytes);

// "45 s", "3 min 05 s", "2 h 03 min", "4 d 02 h".
std::string DurationText(uint64_t seconds);

// "1 archive", "2 archives".
std::string CountText(uint64_t count, std::string_view what);

// The name as it is, or in quotes and with escapes where it holds what must not reach a terminal,
// or what would look like such an escape: names come from strangers.
std::string NameText(std::string_view name);

// Lays lines of cells out in columns. A column is as wide as its widest cell that was measured
// before. A cell wider than kWidest does not count, since it would widen all other lines.
class Columns {
 public:
  static constexpr size_t kWidest = 256;
  struct Column {
    std::string_view title;
    bool to_the_right = false;  // numbers
  };

  explicit Columns(std::vector<Column> columns);

  void Measure(const std::vector<std::string>& cells);

  // The lines begin with `indent`, and do not end in spaces. Cells that are not given are
  // empty.
  std::string TitleLine(std::string_view indent = "") const;
  std::string Line(const std::vector<std::string>& cells, std::string_view indent = "") const;

 private:
  const std::vector<Column> columns_;
  std::vector<size_t> widths_;
};

}  // namespace skopsfs::ctl
