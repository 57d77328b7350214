#pragma once

#include <string>

#include "handover/counters.h"

namespace skopsfs::metrics {

// The programs that serve a mount, for people.
struct Versions {
  std::string skopsfs;
  std::string libfuse;
};

// Which mount the counters are of.
struct Subject {
  Versions versions;
  std::string source;
  std::string mountpoint;
};

// The counters in the text format that Prometheus reads. They may change meanwhile: each number is
// right by itself.
std::string PrometheusText(const handover::Counters& counters, const Subject& subject);

}  // namespace skopsfs::metrics
