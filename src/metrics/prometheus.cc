#include "metrics/prometheus.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "util/clock.h"
#include "util/utf8.h"

namespace skopsfs::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNanosecond = 1e-9;

using Labels = std::vector<ClientMetric::Label>;

double Value(const std::atomic<uint64_t>& number) {
  return static_cast<double>(number.load(std::memory_order_relaxed));
}

double Seconds(const std::atomic<int64_t>& nanoseconds) {
  return static_cast<double>(nanoseconds.load(std::memory_order_relaxed)) * kNanosecond;
}

void AddValue(MetricFamily& family, double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

// The families, one after the other.
class Collection {
 public:
  MetricFamily& Add(const char* name, const char* help, MetricType type) {
    families_.push_back({.name = name, .help = help, .type = type, .metric = {}});
    return families_.back();
  }
  void Gauge(const char* name, const char* help, double value) {
    AddValue(Add(name, help, MetricType::Gauge), value);
  }
  void Counter(const char* name, const char* help, double value) {
    AddValue(Add(name, help, MetricType::Counter), value);
  }
  const std::vector<MetricFamily>& families() const { return families_; }

 private:
  std::vector<MetricFamily> families_;
};

Labels OperationLabel(size_t number) {
  return {{"operation", handover::NameOf(static_cast<handover::Operation>(number))}};
}

ClientMetric DurationsOf(const handover::RequestCounters& counters, Labels labels) {
  ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t sum = 0;
  for (size_t i = 0; i < counters.durations.size(); ++i) {
    sum += counters.durations[i].load(std::memory_order_relaxed);
    const double bound =
        i < handover::RequestCounters::kBounds.size()
            ? static_cast<double>(handover::RequestCounters::kBounds[i]) * kNanosecond
            : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({.cumulative_count = sum, .upper_bound = bound});
  }
  metric.histogram.sample_count = sum;
  metric.histogram.sample_sum = Value(counters.nanoseconds) * kNanosecond;
  return metric;
}

void AddRequests(Collection& collection, const handover::Counters& counters) {
  auto& requests =
      collection.Add("skopsfs_requests_total", "Requests answered.", MetricType::Counter);
  for (size_t i = 0; i < handover::kOperations; ++i) {
    uint64_t sum = 0;
    for (const auto& count : counters.requests[i].durations) sum += count;
    AddValue(requests, static_cast<double>(sum), OperationLabel(i));
  }
  auto& failed = collection.Add("skopsfs_request_errors_total",
                                "Requests answered with an error, those that never occurred left "
                                "out.",
                                MetricType::Counter);
  for (size_t i = 0; i < handover::kOperations; ++i) {
    const auto& errors = counters.requests[i].errors;
    for (size_t k = 0; k < errors.size(); ++k) {
      // EIO is there from the beginning, so that its rate can be asked for.
      if (errors[k] == 0 && k != 0) continue;
      auto labels = OperationLabel(i);
      labels.push_back({"error", k < handover::RequestCounters::kErrors.size()
                                     ? strerrorname_np(handover::RequestCounters::kErrors[k])
                                     : "other"});
      AddValue(failed, Value(errors[k]), std::move(labels));
    }
  }
  auto& durations =
      collection.Add("skopsfs_request_duration_seconds",
                     "Time from taking a request to having answered it.", MetricType::Histogram);
  for (size_t i = 0; i < handover::kOperations; ++i) {
    durations.metric.push_back(DurationsOf(counters.requests[i], OperationLabel(i)));
  }
}

void AddBytes(Collection& collection, const handover::Counters& counters) {
  auto& served = collection.Add("skopsfs_served_bytes_total",
                                "Bytes of members given to the kernel.", MetricType::Counter);
  AddValue(served, Value(counters.served_bytes[0]), {{"kind", "stored"}});
  AddValue(served, Value(counters.served_bytes[1]), {{"kind", "decoded"}});
  collection.Counter("skopsfs_source_read_bytes_total", "Bytes asked of the source's archives.",
                     Value(counters.source_bytes));
}

void AddArchives(Collection& collection, const handover::Counters& counters) {
  auto& archives = collection.Add(
      "skopsfs_archives", "Archive versions that the kernel knows, by state.", MetricType::Gauge);
  AddValue(archives, Value(counters.archives_open), {{"state", "open"}});
  AddValue(archives, Value(counters.archives_idle), {{"state", "idle"}});
  AddValue(archives, Value(counters.archives_failed), {{"state", "failed"}});
  collection.Gauge("skopsfs_versions_superseded",
                   "Archive versions that were replaced and are still in use.",
                   Value(counters.versions_superseded));
  collection.Gauge("skopsfs_archive_descriptors", "Descriptors of open archives.",
                   Value(counters.descriptors));
  collection.Gauge("skopsfs_archive_descriptors_limit", "How many there may be.",
                   Value(counters.descriptors_limit));
  collection.Gauge("skopsfs_index_bytes", "Memory of the directories of open archives.",
                   Value(counters.index_bytes));
  collection.Gauge("skopsfs_decoder_bytes", "Memory of decoders of compressed members.",
                   Value(counters.decoder_bytes));
  collection.Gauge("skopsfs_decoder_limit_bytes", "How much it may be (--decoder-memory).",
                   Value(counters.decoder_bytes_limit));
}

// Computed when asked for, so that it grows even when no thread of the worker gets to do anything.
double SecondsOfOldestRequest(const handover::Counters& counters) {
  const int64_t since = counters.oldest_request.load(std::memory_order_relaxed);
  if (since == 0) return 0;
  return static_cast<double>(std::max<int64_t>(util::MonotonicNow() - since, 0)) * kNanosecond;
}

}  // namespace

std::string PrometheusText(const handover::Counters& counters, const Subject& subject) {
  Collection collection;
  auto& info = collection.Add("skopsfs_info", "What serves the mount.", MetricType::Gauge);
  AddValue(info, 1,
           {{"version", subject.versions.skopsfs},
            {"libfuse", subject.versions.libfuse},
            {"source", util::ReplaceInvalidUtf8(subject.source)},
            {"mountpoint", util::ReplaceInvalidUtf8(subject.mountpoint)}});
  collection.Gauge("skopsfs_start_time_seconds", "When it was mounted.", Seconds(counters.started));
  collection.Gauge("skopsfs_worker_start_time_seconds", "When the present worker began to serve.",
                   Seconds(counters.worker_started));
  collection.Counter("skopsfs_worker_restarts_total", "Workers that took over from another one.",
                     Value(counters.restarts));
  AddRequests(collection, counters);
  AddBytes(collection, counters);
  AddArchives(collection, counters);
  collection.Gauge("skopsfs_oldest_request_seconds",
                   "How long the oldest request without an answer has taken.",
                   SecondsOfOldestRequest(counters));
  collection.Gauge("skopsfs_last_update_seconds", "Of which time these gauges are.",
                   Seconds(counters.updated));
  return prometheus::TextSerializer().Serialize(collection.families());
}

}  // namespace skopsfs::metrics
