#!/usr/bin/env python3
"""Tests of budget.py on what ptxas 13.0 said of kernels of ours."""

import contextlib
import io
import pathlib
import tempfile
import unittest
from unittest import mock

import budget

# Of one kernel for two architectures, and of one with shared memory and spills.
SAMPLE = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8likeness4cuda12RaggedKernelINS0_15CopyScoreKernelEEEvPKNS0_5EntryIT_EEPKii' for 'sm_90'
ptxas info    : Function properties for _ZN8likeness4cuda12RaggedKernelINS0_15CopyScoreKernelEEEvPKNS0_5EntryIT_EEPKii
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers
ptxas info    : Compile time = 3.305 ms
ptxas info    : Compiling entry function '_ZN8likeness4cuda12RaggedKernelINS0_15CopyScoreKernelEEEvPKNS0_5EntryIT_EEPKii' for 'sm_80'
ptxas info    : Function properties for _ZN8likeness4cuda12RaggedKernelINS0_15CopyScoreKernelEEEvPKNS0_5EntryIT_EEPKii
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 0 barriers, 376 bytes cmem[0]
ptxas info    : Compiling entry function '_Z15CorrelateKernelPf' for 'sm_90'
ptxas info    : Function properties for _Z15CorrelateKernelPf
    32 bytes stack frame, 24 bytes spill stores, 84 bytes spill loads
ptxas info    : Used 48 registers, used 1 barriers, 32 bytes cumulative stack size, 9088 bytes smem
"""


class BudgetTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.object = str(self.folder / "a.cu.o")
        pathlib.Path(self.object + ".log").write_text(SAMPLE)

    def wrong(self, text):
        return budget.check(budget.read_budget(text), budget.read_objects([self.object]))

    def test_reads_each_kernel(self):
        usages = budget.read_objects([self.object])
        self.assertEqual(len(usages), 3)
        self.assertEqual(usages[("CorrelateKernel", "90")], budget.Usage(48, 84, 9088))
        self.assertEqual(usages[("CopyScoreKernel", "80")].registers, 18)

    def test_one_name_counts_by_its_largest(self):
        usage = budget.Usage(1, 8, 0)
        usage.widen(budget.Usage(3, 0, 2))
        self.assertEqual(usage, budget.Usage(3, 8, 2))

    def test_passes_within(self):
        self.assertEqual(self.wrong("Correlate*  48 84 9088\n*  18 0 0"), [])

    def test_names_kernel_value_and_limit(self):
        (line,) = self.wrong("Correlate*  48 84 9088\n*  17 0 0")
        self.assertEqual(line, "CopyScoreKernel (sm_80): 18 registers, the limit of '*' is 17")
        (line,) = self.wrong("Correlate*  48 80 9088\n*  18 0 0")
        self.assertIn("84 bytes of stack or spills", line)
        (line,) = self.wrong("Correlate*  48 84 9087\n*  18 0 0")
        self.assertIn("9088 bytes of shared memory", line)

    def test_a_kernel_without_a_line_falls_under_the_default(self):
        self.assertEqual(len(self.wrong("*  18 0 0")), 3)

    def test_a_line_without_a_kernel_is_an_error(self):
        self.assertEqual(self.wrong("Gone*  1 0 0\n*  48 84 9088"), ["the budget's line 'Gone*' matches no kernel"])

    def test_refuses_what_it_cannot_read(self):
        for text in ("*  18 0", "", "Correlate*  48 84 9088"):
            with self.assertRaises(budget.Problem):
                budget.read_budget(text)
        with self.assertRaises(budget.Problem):
            budget.parse("\n".join(SAMPLE.splitlines()[:3]))
        with self.assertRaises(budget.Problem):
            budget.parse("\n".join(line for line in SAMPLE.splitlines() if "Used" not in line))

    def test_readable_names(self):
        self.assertEqual(
            budget.readable("void likeness::cuda::RaggedKernel<likeness::cuda::Row<likeness::cuda::(anonymous namespace)::"
                            "Itself, likeness::Planes<true> > >(likeness::cuda::Entry<int> const*, int const*, int)"),
            "Row<Itself, Planes<true>>")
        self.assertEqual(budget.readable("cub::Scan<void (*)(int)>(int*)"), "cub::Scan<void (*)(int)>")

    def test_fails_without_a_log_or_a_kernel(self):
        table = self.folder / "budget.txt"
        table.write_text("*  64 96 9088\n")
        self.assertEqual(self.run_main("check", str(table), self.object), 0)
        self.assertEqual(self.run_main("check", str(table), self.object, str(self.folder / "b.cu.o")), 1)
        pathlib.Path(self.object + ".log").write_text("ptxas info    : 0 bytes gmem\n")
        self.assertEqual(self.run_main("check", str(table), self.object), 1)

    def run_main(self, *arguments):
        silent = io.StringIO()
        with (mock.patch("sys.argv", ["budget.py", *arguments]), contextlib.redirect_stdout(silent),
              contextlib.redirect_stderr(silent)):
            return budget.main()


if __name__ == "__main__":
    unittest.main()
