"""Whether what a sanitizer reports of a process that another one replaces fails a test."""

from mount import Mount, MountTest, binary, main

_REPORTS = ["==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1",
            "==1==ERROR: LeakSanitizer: detected memory leaks",
            "WARNING: ThreadSanitizer: data race (pid=1)",
            "a.cc:1:2: runtime error: signed integer overflow"]


class SanitizerFindings(MountTest):
    def served(self, line):
        """A mount that says `line` and does well."""
        command = ["sh", "-c", 'echo "$0" >&2; exec "$@"', line, binary()]
        with Mount(self.source, self.mountpoint, command=command):
            pass

    def test_reports_fail(self):
        for line in _REPORTS:
            with self.subTest(line):
                self.assertRaisesRegex(AssertionError, "a sanitizer found", self.served, line)

    def test_other_lines_do_not(self):
        self.served("==1==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000008")


if __name__ == "__main__":
    main()
