#include "by_name/safe_name.h"

#include <gtest/gtest.h>

#include <string>

namespace skopsfs::by_name {
namespace {

TEST(SafeName, WhatIsSafeStays) {
  for (const std::string name :
       {"coef_", "0", "a b", "90%", "größe", "模型", "...", ".hidden", "a\\b", "x:y", "-rf"}) {
    EXPECT_EQ(SafeName(name), name);
  }
}

TEST(SafeName, WhatNoPathCanHold) {
  EXPECT_EQ(SafeName(""), "%");
  EXPECT_EQ(SafeName("."), "%2E");
  EXPECT_EQ(SafeName(".."), "%2E%2E");
  EXPECT_EQ(SafeName("a/b"), "a%2Fb");
  EXPECT_EQ(SafeName("../../etc/passwd"), "..%2F..%2Fetc%2Fpasswd");
  EXPECT_EQ(SafeName(std::string("a\0b", 3)), "a%00b");
}

TEST(SafeName, WhatTerminalsWouldObey) {
  EXPECT_EQ(SafeName("a\nb"), "a%0Ab");
  EXPECT_EQ(SafeName("\x1b[2J"), "%1B[2J");
  EXPECT_EQ(SafeName("\x7f"), "%7F");
  EXPECT_EQ(SafeName("\u009b2J\u0080\u009f"), "%C2%9B2J%C2%80%C2%9F");
  EXPECT_EQ(SafeName("\u00a0"), "\u00a0");
}

// The order in which a name is shown is not to be another one's choice.
TEST(SafeName, WhatTurnsTextAround) {
  EXPECT_EQ(SafeName("a\u202egnp.\u202c"), "a%E2%80%AEgnp.%E2%80%AC");
  for (const std::string mark :
       {"\u202a", "\u202b", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069"}) {
    EXPECT_EQ(SafeName(mark).substr(0, 5), "%E2%8") << mark;
  }
  for (const std::string other : {"\u2029", "\u202f", "\u2065", "\u206a", "\u05d0"}) {
    EXPECT_EQ(SafeName(other), other);
  }
}

TEST(SafeName, WhatIsNoText) {
  EXPECT_EQ(SafeName("a\xff\xc3"), "a%FF%C3");
  EXPECT_EQ(SafeName("\xc3\xa4\xed\xa0\xbd"), "\xc3\xa4%ED%A0%BD") << "a surrogate";
}

std::string Add(UniqueNames& names, const std::string& name, const std::string& suffix) {
  return names.Add(name, suffix).first;
}

TEST(UniqueNames, SameNamesGetNumbers) {
  UniqueNames names;
  EXPECT_EQ(Add(names, "a", ".npy"), "a.npy");
  EXPECT_EQ(Add(names, "a", ".npy"), "a~2.npy");
  EXPECT_EQ(Add(names, "a", ".npy"), "a~3.npy");
  EXPECT_EQ(Add(names, "a", ""), "a");
  EXPECT_EQ(Add(names, "b~2", ""), "b~2");
  EXPECT_EQ(Add(names, "b", ""), "b");
  EXPECT_EQ(Add(names, "b", ""), "b~3") << "the other one was there first";
}

TEST(UniqueNames, ANameMayLookLikeOneWithASuffix) {
  UniqueNames names;
  EXPECT_EQ(Add(names, "a.npy", ""), "a.npy");
  EXPECT_EQ(Add(names, "a", ".npy"), "a~2.npy");
}

TEST(UniqueNames, LongOnesAreCutBetweenCharacters) {
  UniqueNames names;
  const std::string name(300, 'x');
  EXPECT_EQ(Add(names, name, ".npy"), std::string(251, 'x') + ".npy");
  EXPECT_EQ(Add(names, name, ".npy"), std::string(249, 'x') + "~2.npy");
  std::string umlauts;
  for (int i = 0; i < 200; ++i) umlauts += "ä";
  EXPECT_EQ(Add(names, umlauts, ".npy"), umlauts.substr(0, 250) + ".npy");
}

TEST(UniqueNames, EachFolderHasItsOwn) {
  UniqueNames names;
  const auto* const first = &names.Add("a", ".npy");
  EXPECT_EQ(Add(names, "a", ".npy"), "a~2.npy");
  names.BeginFolder();
  EXPECT_EQ(&names.Add("a", ".npy"), first);
  EXPECT_EQ(Add(names, "a", ".npy"), "a~2.npy");
}

TEST(UniqueNames, ManyOfOneName) {
  UniqueNames names;
  for (int i = 1; i <= 200000; ++i) Add(names, "same", ".npy");
  EXPECT_EQ(Add(names, "same", ".npy"), "same~200001.npy");
}

}  // namespace
}  // namespace skopsfs::by_name
