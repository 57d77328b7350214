#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Text for people on a terminal. All functions are pure.
namespace skopsfs::ctl {

// In MiB with one decimal; in bytes when it is less than a tenth of a MiB.
std::string SizeText(uint64_t bytes);

// "45 s", "3 min 05 s", "2 h 03 min", "4 d 02 h".
std::string DurationText(uint64_t seconds);

// "1 archive", "2 archives".
std::string CountText(uint64_t count, std::string_view what);

// The name as it is. In quotes and with escapes, if it holds what must not reach a terminal, or
// what would look like such an escape: names come from strangers.
std::string NameText(std::string_view name);

// Lays out lines of cells in columns. A column is as wide as the widest cell that was measured. A
// cell wider than kWidest does not count, since it would widen all other lines. Not thread-safe.
class Columns {
 public:
  static constexpr size_t kWidest = 256;
  struct Column {
    std::string_view title;
    bool to_the_right = false;  // numbers
  };

  explicit Columns(std::vector<Column> columns);

  void Measure(const std::vector<std::string>& cells);

  // The lines begin with `indent`, and do not end in spaces. Missing cells are empty.
  std::string TitleLine(std::string_view indent = "") const;
  std::string Line(const std::vector<std::string>& cells, std::string_view indent = "") const;

 private:
  const std::vector<Column> columns_;
  std::vector<size_t> widths_;
};

}  // namespace skopsfs::ctl
