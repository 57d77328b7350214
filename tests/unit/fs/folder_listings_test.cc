#include "fs/folder_listings.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace skopsfs::fs {
namespace {

std::map<std::string, uint64_t> PositionsOf(const FolderListings::Names& names) {
  std::map<std::string, uint64_t> positions;
  for (const auto& known : *names) positions[known.name] = known.position;
  return positions;
}

TEST(FolderListings, PositionsAreStableWhateverElseComesAndGoes) {
  FolderListings listings;
  const auto before = PositionsOf(listings.Add(1, {"a", "b", "c", "d"}));
  const auto after = PositionsOf(listings.Add(1, {"x", "d", "b", "y"}));
  EXPECT_EQ(after.at("b"), before.at("b"));
  EXPECT_EQ(after.at("d"), before.at("d"));
  FolderListings of_another_process;
  EXPECT_EQ(PositionsOf(of_another_process.Add(7, {"c"})).at("c"), before.at("c"));
}

TEST(FolderListings, PositionsAreSortedAndEachIsOfOneName) {
  FolderListings listings;
  std::vector<std::string> names;
  for (int i = 0; i < 10'000; ++i) names.push_back(std::to_string(i));
  const auto listed = listings.Add(1, names);
  std::set<std::string> seen;
  uint64_t last = kFirstChild - 1;
  for (const auto& [position, name] : *listed) {
    EXPECT_GT(position, last);
    EXPECT_LT(position, uint64_t{INT64_MAX}) << "it is an off_t";
    last = position;
    seen.insert(name);
  }
  EXPECT_EQ(seen.size(), names.size());
  // The same name twice, as a hostile source could say.
  const auto twice = listings.Add(1, {"a", "a", "a"});
  EXPECT_LT(twice->at(0).position, twice->at(1).position);
  EXPECT_LT(twice->at(1).position, twice->at(2).position);
}

TEST(FolderListings, AreFoundUntilReplaced) {
  FolderListings listings;
  EXPECT_EQ(listings.Find(1), nullptr);
  const auto first = listings.Add(1, {"a"});
  const auto other = listings.Add(2, {"b"});
  EXPECT_EQ(listings.Find(1), first);
  EXPECT_EQ(listings.Find(2), other);
  const auto second = listings.Add(1, {"a", "c"});
  EXPECT_EQ(listings.Find(1), second);
  EXPECT_EQ(first->size(), 1U) << "who has it goes on with it";
  EXPECT_TRUE(listings.Add(3, {})->empty());
  EXPECT_NE(listings.Find(3), nullptr);
}

TEST(FolderListings, WhatNobodyGoesOnWithIsForgotten) {
  FolderListings listings;
  listings.Add(1, {"a"});
  listings.Add(2, {"b"});
  for (int i = 0; i < 5; ++i) {
    listings.Tidy();
    EXPECT_NE(listings.Find(1), nullptr) << "it is gone on with";
  }
  EXPECT_EQ(listings.Find(2), nullptr);
  listings.Tidy();
  EXPECT_NE(listings.Find(1), nullptr);
  listings.Tidy();
  listings.Tidy();
  EXPECT_EQ(listings.Find(1), nullptr);
}

TEST(FolderListings, AreBounded) {
  FolderListings listings;
  const std::vector<std::string> many(400'000, "x");
  listings.Add(1, many);
  listings.Add(2, many);
  EXPECT_NE(listings.Find(1), nullptr);
  listings.Add(3, many);
  EXPECT_EQ(listings.Find(1), nullptr);
  EXPECT_EQ(listings.Find(2), nullptr);
  EXPECT_NE(listings.Find(3), nullptr);
  // Those that were replaced or forgotten do not count.
  for (int i = 0; i < 5; ++i) listings.Add(3, many);
  listings.Add(4, many);
  EXPECT_NE(listings.Find(3), nullptr);
  listings.Tidy();
  listings.Tidy();
  listings.Add(5, many);
  listings.Add(6, many);
  EXPECT_NE(listings.Find(5), nullptr);
  const auto huge = listings.Add(7, std::vector<std::string>(1'100'000, "x"));
  EXPECT_EQ(huge->size(), 1'100'000U) << "one alone is always had whole";
  EXPECT_EQ(listings.Find(7), huge);
}

}  // namespace
}  // namespace skopsfs::fs
