"""What quickstart.sh shows: one array of a mounted archive in three processes, and the same with
zipfile, as skops loads it."""

import io
import multiprocessing
import os
import struct
import sys
import zipfile

import numpy as np

MEMBER = "weights.npy"
ROWS, COLUMNS = 16384, 2048  # of float64: 256 MiB
PROCESSES = 3
PROBED_PAGES = 64
MIB = 1 << 20


def make(archive: str) -> None:
    """Writes an archive with one large stored array, as skops.io.dump does."""
    weights = np.random.default_rng(0).standard_normal((ROWS, COLUMNS))
    with zipfile.ZipFile(archive, "w") as zip_file:
        zip_file.writestr("schema.json", "{}")
        with zip_file.open(MEMBER, "w", force_zip64=True) as member:
            np.lib.format.write_array(member, weights)


def proportional_bytes() -> int:
    """Memory of this process in bytes; what is shared counts in equal parts."""
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))


def page_frames(array: np.ndarray) -> "list[int]":
    """Physical frame numbers behind some pages of `array`; zeros where the kernel hides them."""
    page = os.sysconf("SC_PAGESIZE")
    start = array.ctypes.data // page
    frames = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for index in np.linspace(1, array.nbytes // page - 1, PROBED_PAGES, dtype=int):
            entry = os.pread(pagemap.fileno(), 8, (start + int(index)) * 8)
            frames.append(struct.unpack("Q", entry)[0] & ((1 << 55) - 1))
    return frames


def load_mapped(archive: str) -> np.ndarray:
    return np.load(f"{archive}/{MEMBER}", mmap_mode="r")


def load_copied(archive: str) -> np.ndarray:
    with zipfile.ZipFile(archive) as zip_file:
        return np.load(io.BytesIO(zip_file.read(MEMBER)))


def worker(load, archive: str, all_loaded, results) -> None:
    before = proportional_bytes()
    array = load(archive)
    total = float(array.sum())
    frames = page_frames(array) if load is load_mapped else []
    all_loaded.wait()  # so that everybody counts while everybody holds the array
    used = proportional_bytes() - before
    all_loaded.wait()
    results.put((total, frames, used))


def run(load, archive: str) -> "list[tuple[float, list[int], int]]":
    context = multiprocessing.get_context("spawn")
    all_loaded = context.Barrier(PROCESSES)
    results = context.Queue()
    processes = [
        context.Process(target=worker, args=(load, archive, all_loaded, results))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return answers


def show(archive: str, mounted: str) -> int:
    mapped = run(load_mapped, mounted)
    copied = run(load_copied, archive)
    totals = {total for total, _, _ in mapped + copied}
    frames = [frames for _, frames, _ in mapped]
    size = ROWS * COLUMNS * 8 // MIB
    print(f"\n{PROCESSES} processes load the same {size} MiB array:")
    for way, answers in (("zipfile + numpy.load, as skops", copied),
                         ("numpy.load(mmap_mode='r') on the mount", mapped)):
        used = sum(used for _, _, used in answers) // MIB
        print(f"  {way:<40} {used:>5} MiB in all")
    print(f"  same numbers: {'yes' if len(totals) == 1 else 'NO'}")
    visible = all(all(process) for process in frames)
    same = all(process == frames[0] for process in frames)
    if visible:
        print(f"  same page frames: {'yes' if same else 'NO'}, "
              f"{PROBED_PAGES} of {PROBED_PAGES} probed pages in all {PROCESSES} processes"
              if same else "  same page frames: NO")
    else:
        print("  same page frames: only root may see them; the memory in all tells as much")
    return 0 if len(totals) == 1 and (same or not visible) else 1


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        sys.exit(show(sys.argv[2], sys.argv[3]))
