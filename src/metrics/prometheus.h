#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "metrics/counters.h"

namespace skopsfs::metrics {

// The programs that a mount is served by, for people.
struct Versions {
  std::string skopsfs;
  std::string libfuse;
};

// The counters as Prometheus has them. Safe while they change: each number is right by itself.
std::vector<prometheus::MetricFamily> Families(const Counters& counters, const Versions& versions);

// The same in the text format that Prometheus reads.
std::string PrometheusText(const Counters& counters, const Versions& versions);

}  // namespace skopsfs::metrics
