#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace skopsfs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Words = std::vector<const char*>;

// What is wrong with a command line; empty when nothing is.
std::string Complaint(const Words& words) {
  try {
    ParseOptions(words);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(ParseOptions, Defaults) {
  const auto options = ParseOptions(Words{"/models", "/mnt"});
  EXPECT_EQ(options.source, "/models");
  EXPECT_EQ(options.mountpoint, "/mnt");
  EXPECT_FALSE(options.foreground);
  EXPECT_FALSE(options.debug);
  EXPECT_FALSE(options.help);
  EXPECT_FALSE(options.version);
  EXPECT_EQ(options.revalidate, 1);
  EXPECT_EQ(options.decoder_memory, 128U);
  EXPECT_EQ(options.read_ahead, std::nullopt);
  EXPECT_FALSE(options.keep_archives);
  EXPECT_THAT(options.mount_options, IsEmpty());
}

TEST(ParseOptions, Verify) {
  EXPECT_FALSE(ParseOptions(Words{"a", "b"}).proves_first);
  EXPECT_FALSE(ParseOptions(Words{"--verify=passing", "a", "b"}).proves_first);
  EXPECT_TRUE(ParseOptions(Words{"--verify=read", "a", "b"}).proves_first);
  EXPECT_FALSE(ParseOptions(Words{"--verify=read", "a", "b"}).verify_word_is_old);
  EXPECT_THAT(Complaint({"--verify=always", "a", "b"}), HasSubstr("--verify is passing or read"));
}

TEST(ParseOptions, VerifyByItsOldWord) {
  const auto options = ParseOptions(Words{"-o", "verify=open", "a", "b"});
  EXPECT_TRUE(options.proves_first);
  EXPECT_TRUE(options.verify_word_is_old);
  const auto later = ParseOptions(Words{"--verify=open", "--verify=passing", "a", "b"});
  EXPECT_FALSE(later.proves_first);
  EXPECT_FALSE(later.verify_word_is_old);
}

TEST(ParseOptions, DecoderMemory) {
  EXPECT_EQ(ParseOptions(Words{"--decoder-memory=64", "a", "b"}).decoder_memory, 64U);
  EXPECT_EQ(ParseOptions(Words{"-odecoder-memory=0", "a", "b"}).decoder_memory, 0U);
  EXPECT_THROW(ParseOptions(Words{"--user=", "a", "b"}), UsageError);
  for (const auto* bad : {"--decoder-memory=-1", "--decoder-memory=1.5", "--decoder-memory=2049",
                          "--decoder-memory=", "--decoder-memory=12M"}) {
    EXPECT_THAT(Complaint({bad, "a", "b"}), HasSubstr("needs MiB")) << bad;
  }
}

TEST(ParseOptions, MetricsAddress) {
  EXPECT_EQ(ParseOptions(Words{"a", "b"}).metrics_address, "");
  EXPECT_EQ(ParseOptions(Words{"--metrics-address=0.0.0.0:9400", "a", "b"}).metrics_address,
            "0.0.0.0:9400");
  EXPECT_EQ(ParseOptions(Words{"-ometrics-address=9400", "a", "b"}).metrics_address, "9400");
  EXPECT_THAT(Complaint({"--metrics-address=example.org:80", "a", "b"}),
              HasSubstr("--metrics-address: 'example.org:80' is not HOST:PORT"));
}

TEST(ParseOptions, WhatWasGivenButThePaths) {
  EXPECT_THAT(ParseOptions(Words{"-f", "a", "-o", "allow_other", "--verify=read", "--", "b"}).given,
              ElementsAre("-f", "-o", "allow_other", "--verify=read", "--"));
}

TEST(ParseOptions, ReadAhead) {
  EXPECT_EQ(ParseOptions(Words{"--readahead=128", "a", "b"}).read_ahead, 128U);
  EXPECT_EQ(ParseOptions(Words{"-oreadahead=0", "a", "b"}).read_ahead, 0U);
  for (const auto* bad :
       {"--readahead=-1", "--readahead=", "--readahead=1M", "--readahead=65537"}) {
    EXPECT_THAT(Complaint({bad, "a", "b"}), HasSubstr("needs KiB from 0 to 65536")) << bad;
  }
}

TEST(ParseOptions, Cache) {
  EXPECT_TRUE(ParseOptions(Words{"--cache=keep", "a", "b"}).keep_archives);
  EXPECT_FALSE(ParseOptions(Words{"--cache=drop", "a", "b"}).keep_archives);
  EXPECT_THAT(Complaint({"--cache=all", "a", "b"}), HasSubstr("--cache is drop or keep"));
}

TEST(ParseOptions, Flags) {
  for (const auto* word : {"-f", "--foreground", "-oforeground"}) {
    EXPECT_TRUE(ParseOptions(Words{word, "a", "b"}).foreground) << word;
    EXPECT_FALSE(ParseOptions(Words{word, "a", "b"}).debug) << word;
  }
  for (const auto* word : {"-d", "--debug", "-odebug"}) {
    EXPECT_TRUE(ParseOptions(Words{word, "a", "b"}).debug) << word;
    EXPECT_TRUE(ParseOptions(Words{word, "a", "b"}).foreground) << word << " implies -f";
  }
}

TEST(ParseOptions, HelpAndVersionNeedNoPaths) {
  for (const auto* word : {"-h", "--help"}) EXPECT_TRUE(ParseOptions(Words{word}).help) << word;
  for (const auto* word : {"-V", "--version"}) {
    EXPECT_TRUE(ParseOptions(Words{word}).version) << word;
  }
  EXPECT_TRUE(ParseOptions(Words{"/models", "-h"}).help);
}

TEST(ParseOptions, OptionsMayStandAnywhere) {
  for (const auto& words :
       {Words{"-f", "-o", "noexec", "a", "b"}, Words{"a", "b", "-f", "-onoexec"},
        Words{"a", "-o", "noexec", "b", "-f"}}) {
    const auto options = ParseOptions(words);
    EXPECT_EQ(options.source, "a");
    EXPECT_EQ(options.mountpoint, "b");
    EXPECT_TRUE(options.foreground);
    EXPECT_THAT(options.mount_options, ElementsAre("noexec"));
  }
}

TEST(ParseOptions, AfterTwoDashesThereAreOnlyPaths) {
  const auto options = ParseOptions(Words{"-f", "--", "-d", "--help"});
  EXPECT_EQ(options.source, "-d");
  EXPECT_EQ(options.mountpoint, "--help");
  EXPECT_FALSE(options.debug);
  EXPECT_FALSE(options.help);
  EXPECT_EQ(ParseOptions(Words{"a", "--", "--"}).mountpoint, "--");
  EXPECT_EQ(ParseOptions(Words{"-", "b"}).source, "-") << "a dash alone is a name";
}

TEST(ParseOptions, MountOptions) {
  struct Case {
    Words words;
    std::vector<std::string> handed_on;
  };
  const std::vector<Case> cases = {
      {{"-o", "allow_other"}, {"allow_other"}},
      {{"-oallow_other"}, {"allow_other"}},
      {{"-o", "allow_other,noexec"}, {"allow_other", "noexec"}},
      {{"-o", "allow_other", "-o", "noexec"}, {"allow_other", "noexec"}},
      {{"-o", "allow_root,auto_unmount,noatime"}, {"allow_root", "auto_unmount", "noatime"}},
      {{"-o", "fsname=models"}, {"fsname=models"}},
      {{"-o", "fsname=a=b"}, {"fsname=a=b"}},
      {{"-o", "context=system_u:object_r:x:s0"}, {"context=system_u:object_r:x:s0"}},
      // True anyway, or meant for mount(8).
      {{"-o", "ro,rw,nosuid,nodev,suid,dev,exec,atime,relatime,default_permissions"}, {}},
      {{"-o", "defaults,auto,noauto,_netdev,user"}, {}},
      {{"-o", "users,owner,group,nouser,noowner,nogroup,nofail,comment=x y"}, {}},
      {{"-o", "sync,async,diratime,nodiratime,norelatime,strictatime,nostrictatime"}, {}},
      {{"-o", "x-systemd.automount,x-gvfs-hide,X-mount.mkdir"}, {}},
      {{"-o", ""}, {}},
      {{"-o", ",,allow_other,,"}, {"allow_other"}},
  };
  for (const auto& c : cases) {
    Words words = c.words;
    words.insert(words.end(), {"a", "b"});
    EXPECT_EQ(Complaint(words), "") << c.words.back();
    EXPECT_EQ(ParseOptions(words).mount_options, c.handed_on) << c.words.back();
  }
}

TEST(ParseOptions, AValueMayBeAWordOfItsOwn) {
  const auto options = ParseOptions(Words{"--revalidate", "3", "a", "--verify", "read", "b", "-f"});
  EXPECT_EQ(options.revalidate, 3);
  EXPECT_TRUE(options.proves_first);
  EXPECT_EQ(options.source, "a");
  EXPECT_EQ(options.mountpoint, "b");
  // As the status of the mount has it, where skopsfsctl looks for it.
  EXPECT_THAT(options.given, ElementsAre("--revalidate=3", "--verify=read", "-f"));
}

TEST(ParseOptions, Nonempty) {
  EXPECT_FALSE(ParseOptions(Words{"a", "b"}).nonempty);
  const auto options = ParseOptions(Words{"-o", "noexec,nonempty", "a", "b"});
  EXPECT_TRUE(options.nonempty);
  EXPECT_THAT(options.mount_options, ElementsAre("noexec")) << "libfuse does not know it";
}

TEST(ParseOptions, OptionsOfOursAsMountOptions) {
  const auto options = ParseOptions(Words{"-o", "allow_other,revalidate=2.5,foreground", "a", "b"});
  EXPECT_EQ(options.revalidate, 2.5);
  EXPECT_TRUE(options.foreground);
  EXPECT_THAT(options.mount_options, ElementsAre("allow_other"));
}

TEST(ParseOptions, Revalidate) {
  struct Case {
    const char* word;
    double seconds;
  };
  for (const auto& c : std::vector<Case>{{"--revalidate=0", 0},
                                         {"--revalidate=1", 1},
                                         {"--revalidate=0.25", 0.25},
                                         {"--revalidate=.5", 0.5},
                                         {"--revalidate=1e2", 100},
                                         {"--revalidate=86400", 86400},
                                         {"-orevalidate=0", 0}}) {
    EXPECT_EQ(ParseOptions(Words{c.word, "a", "b"}).revalidate, c.seconds) << c.word;
  }
  EXPECT_EQ(ParseOptions(Words{"--revalidate=5", "--revalidate=6", "a", "b"}).revalidate, 6)
      << "the last one counts";
  for (const auto* word :
       {"--revalidate=-1", "--revalidate=86401", "--revalidate=x", "--revalidate=1x",
        "--revalidate= 1", "--revalidate=", "--revalidate=nan", "--revalidate=inf",
        "--revalidate=1e999", "--revalidate=1,5", "-orevalidate=soon"}) {
    EXPECT_THAT(Complaint({word, "a", "b"}), HasSubstr("--revalidate needs seconds")) << word;
  }
}

TEST(ParseOptions, WhatCannotBeUnderstood) {
  struct Case {
    Words words;
    const char* complaint;
  };
  const std::vector<Case> cases = {
      {{}, "SOURCE and MOUNTPOINT are needed"},
      {{"a"}, "SOURCE and MOUNTPOINT are needed"},
      {{"-f"}, "SOURCE and MOUNTPOINT are needed"},
      {{"a", "b", "c"}, "unexpected argument 'c'"},
      {{"a", "b", "--", "c"}, "unexpected argument 'c'"},
      {{"-x", "a", "b"}, "unknown option '-x'"},
      {{"-fd", "a", "b"}, "unknown option '-fd'"},
      {{"-ff", "a", "b"}, "unknown option '-ff'"},
      {{"-help", "a", "b"}, "unknown option '-help'"},
      {{"--nothing", "a", "b"}, "unknown option '--nothing'"},
      {{"--nothing=1", "a", "b"}, "unknown option '--nothing=1'"},
      {{"--foregroun", "a", "b"}, "unknown option '--foregroun'"},
      {{"--=1", "a", "b"}, "unknown option '--=1'"},
      {{"--f", "a", "b"}, "unknown option '--f'"},
      {{"--o=noexec", "a", "b"}, "unknown option '--o=noexec'"},
      {{"--foreground=1", "a", "b"}, "option 'foreground' takes no value"},
      {{"--help="}, "option 'help' takes no value"},
      {{"a", "b", "--revalidate"}, "option 'revalidate' needs a value: revalidate=SECONDS"},
      {{"--revalidate", "a", "b"}, "--revalidate needs seconds from 0 to 86400, not 'a'"},
      {{"--user", "a", "b"}, "SOURCE and MOUNTPOINT are needed"},
      {{"--worker-timeout=0.5", "a", "b"}, "--worker-timeout needs 0, or at least a second"},
      {{"-o", "fsname=", "a", "b"}, "mount option 'fsname=' needs a value"},
      {{"a", "b", "-o"}, "option '-o' needs a value"},
      {{"-o", "nothing", "a", "b"}, "unknown mount option 'nothing'"},
      {{"-o", "noexec,nothing=1", "a", "b"}, "unknown mount option 'nothing=1'"},
      {{"-o", "revalidate", "a", "b"}, "option 'revalidate' needs a value: revalidate=SECONDS"},
      {{"-o", "fsname", "a", "b"}, "unknown mount option 'fsname'"},
      {{"-o", "allow_other=1", "a", "b"}, "unknown mount option 'allow_other=1'"},
      {{"-o", "Allow_other", "a", "b"}, "unknown mount option 'Allow_other'"},
      {{"-o", " noexec", "a", "b"}, "unknown mount option ' noexec'"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Complaint(c.words), c.complaint);
  }
}

// An unset variable in a script must not let the next word take its place.
TEST(ParseOptions, AnEmptyPathIsNoPath) {
  EXPECT_NE(Complaint({"", "/models", "/mnt"}), "");
  EXPECT_NE(Complaint({"", "/mnt"}), "");
  EXPECT_NE(Complaint({"/models", ""}), "");
  EXPECT_NE(Complaint({"/models", "", "/mnt"}), "");
}

TEST(Usage, NamesEveryOption) {
  const std::string usage = Usage();
  for (const auto* word :
       {"usage: skopsfs [options] SOURCE MOUNTPOINT", "-f, --foreground", "-o OPT[,OPT...]",
        "--revalidate=SECONDS", "-d, --debug", "-h, --help", "-V, --version", "allow_other",
        "allow_root", "auto_unmount", "fsname=", "noexec", "NAME=VALUE", "fusermount3 -u"}) {
    EXPECT_THAT(usage, HasSubstr(word));
  }
  EXPECT_TRUE(usage.ends_with('\n'));
}

TEST(Usage, EveryOptionThatItNamesIsTaken) {
  std::istringstream usage(Usage());
  int checked = 0;
  for (std::string line; std::getline(usage, line);) {
    const size_t start = line.find("--");
    if (!line.starts_with("  ") || start == std::string::npos || start > 10) continue;
    std::string word = line.substr(start, line.find_first_of(" =", start) - start);
    const size_t equals = start + word.size();
    if (line[equals] == '=') {  // a choice of words, or something that a number can be
      const size_t bar = line.find('|');
      word += bar == std::string::npos ? "=1" : line.substr(equals, bar - equals);
    }
    EXPECT_EQ(Complaint({word.c_str(), "a", "b"}), "") << word;
    ++checked;
  }
  EXPECT_EQ(checked, 16);
}

TEST(Usage, FitsTheScreenInColumns) {
  std::istringstream usage(Usage());
  size_t column = 0;
  int rows = 0;
  for (std::string line; std::getline(usage, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    const size_t gap = line.starts_with("  ") ? line.find("  ", line.find_first_not_of(' ')) : 0;
    if (gap == 0 || gap == std::string::npos) continue;
    const size_t help = line.find_first_not_of(' ', gap);
    if (column == 0) column = help;
    EXPECT_EQ(help, column) << line;
    ++rows;
  }
  EXPECT_GT(rows, 20);
}

TEST(Usage, HasAnExampleAndNamesTheManPage) {
  EXPECT_THAT(Usage(), HasSubstr("\nexample:\n  skopsfs "));
  EXPECT_THAT(Usage(), HasSubstr("man skopsfs"));
}

}  // namespace
}  // namespace skopsfs::cli
