#!/usr/bin/python3
"""Does the power-cut harness find bugs?  Each of these breaks one rule of the agent's durable
half, by one change of its real source; the harness must find every one.

    seeded_bugs.py SOURCE_DIR BUILD_DIR [NAME…]

A change whose text is no longer in the source fails too: the list follows the code."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

BUGS = [
    # name, file, what is there, what stands there instead
    ("the newest copy of a record is overwritten", "record.c",
     "unsigned copy = record->newest == 0 ? 1 : 0;",
     "unsigned copy = record->newest == 0 ? 0 : 1;"),
    ("a record is not synced", "record.c",
     "if (!err)\n\t\terr = disk_sync(record->disk, record->file, why);",
     ""),
    ("a record's checksum is not looked at", "record.c",
     "if (!good || record_get_u32(&at) != block_crc(block, size))",
     "if (!good)"),
    ("a record is read before it is known to be on the medium", "record.c",
     "if (record->writable) {", "if (0) {"),
    ("a record's sequence stands still", "record.c",
     "record->written++;", ""),
    ("the older copy of a record wins", "record.c",
     "sequence[copy] > sequence[newest]", "sequence[copy] < sequence[newest]"),
    ("a file is renamed before its bytes are on the medium", "disk.c",
     "synced = disk->sync(disk->ctx, out.file);", "synced = 0;"),
    ("the directory is not synced after a rename", "disk.c",
     "return disk_sync_parent(disk, to, why);", "return OTA_OK;"),
    ("a new directory's name is not synced", "disk.c",
     "enum ota_err err = disk_sync_parent(disk, part, made ? NULL : why);",
     "enum ota_err err = OTA_OK;"),
    ("the leftover of an interrupted replace is in the way", "disk.c",
     "\tif (!err)\n\t\terr = disk_unlink_leftover(disk, fresh, why);\n\tif (err)\n\t\treturn err;"
     "\n\terr = disk_write_new(",
     "\tif (err)\n\t\treturn err;\n\terr = disk_write_new("),
    ("the name of a record that is there is taken for durable", "record.c",
     "opening.writable && !made ? disk_sync_parent(disk, path, why) : OTA_OK;",
     "OTA_OK;"),
    ("a file is replaced in place", "disk.c",
     "\terr = disk_write_new(disk, fresh, bytes, len, mode, why);",
     "\tdisk->unlink(disk->ctx, path);\n"
     "\treturn disk_write_new(disk, path, bytes, len, mode, why);"),
    ("the target stays bootable while it is written", "bootstate.c",
     "state.bootable[target] = false;\n", ""),
    ("the boot state is not asked before the target is written", "slot_image.c",
     "enum ota_err err = bootstate_begin(&image->store, target, why);",
     "enum ota_err err = OTA_OK;"),
    ("the image is verified from the cache", "slot_image.c",
     "int dropped = disk->drop_cache(disk->ctx, file);\n\tif (dropped < 0)\n"
     "\t\treturn ota_fail_errno(why, OTA_IO_ERROR, -dropped, \"dropping the cache\");\n"
     "\tenum ota_err err = digest_stream_new",
     "enum ota_err err = digest_stream_new"),
    ("what is in the slot is looked at through the cache", "slot_image.c",
     "int dropped = disk->drop_cache(disk->ctx, file);\n\tif (dropped < 0)\n"
     "\t\treturn ota_fail_errno(why, OTA_IO_ERROR, -dropped, \"dropping the cache\");\n"
     "\treturn OTA_OK;",
     "return OTA_OK;"),
    ("the image is not synced before it is armed", "slot_image.c",
     "\tif (!err)\n\t\terr = image_sync(image, part, why);\n\tif (err)\n\t\treturn err;\n"
     "\tif (image->trim)",
     "\tif (err)\n\t\treturn err;\n\tif (image->trim)"),
    ("any image passes for the signed one", "slot_image.c",
     "if (!digest_equal(&seen, digest))", "if (0)"),
    ("the image is synced at the end only", "slot_image.c",
     "if (image->work[part].unsynced + len > SLOT_SYNC_BYTES) {", "if (0) {"),
    ("an image keeps the tail of the longer one before", "slot_file.c",
     "int done = disk->truncate(disk->ctx, file, size);", "int done = 0;\n\t(void)size;"),
    ("a try is not counted", "bootstate.c", "state.tries--;", ""),
    ("a try is counted in memory only", "bootstate.c",
     "\terr = bootstate_write(store, &state, why);\n\t*ret_slot = ",
     "\t*ret_slot = "),
    ("arming makes the new slot the active one", "bootstate.c",
     "state.phase = BOOT_ARMED;\n\tstate.trying = target;",
     "state.phase = BOOT_SETTLED;\n\tstate.active = target;\n\tstate.trying = target;"),
    ("a revert forgets to leave the trial", "bootstate.c",
     "state->phase = BOOT_RETURNED;", ""),
    ("a confirm forgets the active slot", "bootstate.c",
     "state.active = running;\n\tstate.tries = 0;", "state.tries = 0;"),
    ("the floor rises in memory only", "keep.c",
     "enum ota_err err = record_write(&keep->floor_record, payload, why);",
     "enum ota_err err = OTA_OK;"),
    ("the floor may fall", "keep.c", "return a > b ? a : b;", "(void)a;\n\treturn b;"),
    ("report numbers are reserved in memory only", "keep_report.c",
     "enum ota_err err = record_write(&keep->seq_record, payload, why);",
     "enum ota_err err = OTA_OK;"),
    ("an acknowledgement takes the wrong report", "keep_report.c",
     "enum ota_err err = report_forget(keep, i, why);\n\t\tif (err)\n\t\t\treturn err;\n\t}",
     "enum ota_err err = report_forget(keep, keep->report_count - 1, why);\n\t\tif (err)\n"
     "\t\t\treturn err;\n\t}"),
    ("the environment block is not synced", "bootstate_grub.c",
     "if (!err)\n\t\terr = disk_sync(disk, file, why);", ""),
]


def build(source, build_dir, work, file, old, new):
    text = (source / "agent" / file).read_text()
    if text.count(old) != 1:
        return None, f"the text to change is {text.count(old)} times in agent/{file}"
    (work / file).write_text(text.replace(old, new))
    sim = source / "test" / "sim"
    program = work / "power_cut_sim"
    command = [
        os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE",
        "-D_FILE_OFFSET_BITS=64", "-I", str(source / "common"), "-I", str(source / "agent"),
        "-I", str(sim), "-o", str(program), str(work / file), str(sim / "power_cut_sim.c"),
        *(str(sim / f"sim_{part}.c") for part in ("cuts", "device", "device_agent", "disk",
                                                   "disk_seam", "scenarios")),
        str(build_dir / "agent" / "libota-agent-core.a"),
        str(build_dir / "common" / "libota-common.a"), "-lcjson", "-lzstd", "-lcrypto",
    ]
    if os.environ.get("OTA_SANITIZE"):
        command.insert(1, "-fsanitize=address,undefined")
    done = subprocess.run(command, capture_output=True, text=True)
    return (program, "") if done.returncode == 0 else (None, done.stderr[-800:])


def main():
    source, build_dir = (pathlib.Path(p).resolve() for p in sys.argv[1:3])
    wanted = sys.argv[3:]
    bugs = [bug for bug in BUGS if not wanted or bug[0] in wanted]
    missed = []
    began = time.monotonic()
    sound = subprocess.run([build_dir / "test" / "sim" / "power_cut_sim", "--cuts", "1000"],
                           capture_output=True, text=True, timeout=900)
    if sound.returncode != 0:
        print("the harness finds something in the unchanged source:\n" + sound.stdout)
        return 1
    for name, file, old, new in bugs:
        with tempfile.TemporaryDirectory() as work:
            program, problem = build(source, build_dir, pathlib.Path(work), file, old, new)
            if not program:
                print(f"NOT BUILT {name}: {problem}")
                missed.append(name)
                continue
            at = time.monotonic()
            run = subprocess.run([program, "--cuts", "200000", "--stop-after", "1"],
                                 capture_output=True, text=True, timeout=900)
        how = next((line for line in run.stdout.splitlines()
                    if line.startswith("violation in")), "")
        if run.returncode == 0:
            missed.append(name)
        print(f"{'missed' if run.returncode == 0 else 'found '} {name}"
              f" ({time.monotonic() - at:.1f} s)\n       {how}", flush=True)
    print(f"{len(bugs) - len(missed)} of {len(bugs)} seeded bugs found, "
          f"{time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
