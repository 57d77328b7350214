"""docs/tour.ipynb runs from its first cell to its last, and is kept without what it printed.

skops is the real one where it can be imported (PYTHONPATH=<a checkout of skops>), else a stand-in.
"""

import os
import pathlib
from unittest import mock

import nbclient
import nbformat

from mount import HANG, MountTest, binary, detach_below, main
from test_loader import PACKAGE, STAND_IN

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs" / "tour.ipynb"
SIZE = 50_000 * 50 * 8 + 50_000 * 8  # bytes of its rows, as of their labels


class Notebook(MountTest):
    def test_it_runs(self):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbformat.validate(notebook)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.assertEqual([(cell.outputs, cell.execution_count) for cell in cells], [([], None)] * len(cells))
        programs, place = self.make_folder("bin"), self.make_folder("place")
        os.symlink(binary(), os.path.join(programs, "skopsfs"))
        modules = [PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")]), STAND_IN]
        with mock.patch.dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", HOME=self.make_folder("home"),
                             TMPDIR=place, PYTHONPATH=os.pathsep.join(modules)):
            nbclient.NotebookClient(notebook, timeout=HANG).execute()
        printed = [output.get("text") or output.data["text/plain"] for cell in cells for output in cell.outputs]
        print(f"\ntour.ipynb: {sum(bool(cell.execution_count) for cell in cells)} of {len(cells)} cells run")
        for part in (f"{SIZE:,} of them mapped; {SIZE:,} saved", f"{SIZE:,} bytes were not copied", "(5, 1)"):
            self.assertTrue(any(part in text for text in printed), f"{part} is not in {printed}")
        self.assertEqual((os.listdir(place), detach_below(self.folder)), ([], []), "it has left something")


if __name__ == "__main__":
    main()
