#include "metrics/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>

namespace skopsfs::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PrometheusTest : public ::testing::Test {
 protected:
  std::string Text() const {
    return PrometheusText(*counters_, {{"1.2", "3.4"}, "/models", "/mnt/a \"\\\n\xff"});
  }

  const std::unique_ptr<handover::Counters> counters_ = std::make_unique<handover::Counters>();
};

TEST_F(PrometheusTest, SaysWhatServes) {
  EXPECT_THAT(Text(), HasSubstr("skopsfs_info{version=\"1.2\",libfuse=\"3.4\",source=\"/models\","
                                "mountpoint=\"/mnt/a \\\"\\\\\\n\xef\xbf\xbd\"} 1\n"));
}

TEST_F(PrometheusTest, RequestsAreTheSumOfTheirDurations) {
  counters_->Finished(handover::Operation::kOpen, 1);
  counters_->Finished(handover::Operation::kOpen, 20'000);
  counters_->Finished(handover::Operation::kOpen, 60'000'000'000);
  EXPECT_THAT(Text(), HasSubstr("skopsfs_requests_total{operation=\"open\"} 3\n"));
  EXPECT_THAT(Text(), HasSubstr("skopsfs_requests_total{operation=\"readdir\"} 0\n"));
}

TEST_F(PrometheusTest, BucketsAreCumulative) {
  counters_->Finished(handover::Operation::kOpen, 1);
  counters_->Finished(handover::Operation::kOpen, 20'000);
  counters_->Finished(handover::Operation::kOpen, 60'000'000'000);
  const std::string bucket = "skopsfs_request_duration_seconds_bucket{operation=\"open\",le=";
  EXPECT_THAT(Text(), HasSubstr(bucket + "\"1e-05\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr(bucket + "\"2.5e-05\"} 2\n"));
  EXPECT_THAT(Text(), HasSubstr(bucket + "\"30\"} 2\n"));
  EXPECT_THAT(Text(), HasSubstr(bucket + "\"+Inf\"} 3\n"));
  EXPECT_THAT(Text(), HasSubstr("skopsfs_request_duration_seconds_count{operation=\"open\"} 3\n"));
}

TEST_F(PrometheusTest, ErrorsThatNeverOccurredAreLeftOutButForEio) {
  counters_->Failed(handover::Operation::kRead, ESTALE);
  counters_->Failed(handover::Operation::kRead, EXDEV);
  const std::string read = "skopsfs_request_errors_total{operation=\"read\",error=";
  EXPECT_THAT(Text(), HasSubstr(read + "\"ESTALE\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr(read + "\"other\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr(read + "\"EIO\"} 0\n"));
  EXPECT_THAT(Text(), Not(HasSubstr(read + "\"EACCES\"}")));
}

TEST_F(PrometheusTest, BytesByKind) {
  counters_->Served(handover::Kind::kStored, 4096);
  counters_->Served(handover::Kind::kDecoded, 5);
  counters_->ReadFromSource(6);
  EXPECT_THAT(Text(), HasSubstr("skopsfs_served_bytes_total{kind=\"stored\"} 4096\n"));
  EXPECT_THAT(Text(), HasSubstr("skopsfs_served_bytes_total{kind=\"decoded\"} 5\n"));
  EXPECT_THAT(Text(), HasSubstr("skopsfs_source_read_bytes_total 6\n"));
}

TEST_F(PrometheusTest, TheOldestRequestGrowsByItself) {
  EXPECT_THAT(Text(), HasSubstr("skopsfs_oldest_request_seconds 0\n"));
  counters_->oldest_request = 1;  // begun when the machine was
  EXPECT_THAT(Text(), Not(HasSubstr("skopsfs_oldest_request_seconds 0\n")));
}

}  // namespace
}  // namespace skopsfs::metrics
