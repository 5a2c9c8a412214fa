#!/usr/bin/python3
"""Writes one page per error name: number, class and sentence from the program's own table
(`otactl explain --json`), the rest from here. With --check nothing is written and a difference
is an error."""
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLASSES = {
    "network": "network: tried again by itself, up to 3 times, after about 1, 5 and 30 minutes",
    "device": "device: tried again once the device's own condition has changed",
    "permanent": "permanent: never tried again by itself; a manager may with `otactl device retry`",
    "command": "command: the answer to a manager's command; nothing was changed",
}

# name: (what it means, what to do)
PROSE = {
"busy": ("The other side had no room for this just now: a queue, a table or the budget of bytes on "
         "their way was full. Nothing was done.",
         "Nothing, if it passes. If `otactl status` shows a store queue near its maximum for long, the "
         "broker's disk is too slow for its fleet; a smaller `--max-concurrent` helps at once."),
"slot_error": ("The place for the new version could not be read or written, or it is in use: mounted, "
               "held open, or the one that runs. The running version was not touched.",
               "Read the message: it names path and errno. Check that `slot_a` and `slot_b` of the agent's "
               "configuration are two different places and that nothing else uses the inactive one."),
"out_of_memory": ("An allocation failed. The agent needs less than 8 MiB, whatever the image's size.",
                  "See what else uses the device's memory, and whether a cgroup limit is too low."),
"insufficient_storage": ("The device has less room than the image needs. The message says how many bytes are "
                         "missing (ENOSPC, EDQUOT).",
                         "Free space on the device, or release a smaller image. The update goes on by itself at the "
                         "device's next hello once there is room."),
"segment_hash_mismatch": ("A piece of the image did not have the hash that the signed index demands, from every "
                          "source that was tried, or a pack is not well-formed.",
                          "A damaged file on the broker: `otactl firmware push` the same version again. If it happens on one "
                          "device only, suspect its memory or its storage."),
"image_hash_mismatch": ("What was read back from the medium, or an image that was to be pushed, is not the signed "
                        "image.",
                        "On a device: its storage returns other bytes than were written; test the medium. At "
                        "`otactl firmware push`: the file changed after signing, so sign it again."),
"size_mismatch": ("An image, a pack, an index or a file does not have the size that it should have.",
                  "Sign and push again. On a device, check that the slot's size fits the image."),
"resume_mismatch": ("An interrupted transfer could not be continued where it stopped; it begins again.",
                    "Nothing: the next attempt starts afresh."),
"manifest_invalid": ("A signed document breaks the rules of its format, although its signature is good. The message "
                     "names the member and what is allowed.",
                     "Make the document again with a current otactl. If another program made it, compare with "
                     "`common/PROTOCOL.md`, section 5."),
"incompatible_hardware": ("The firmware does not name this device's hardware, so it was refused before any download.",
                          "Check `hardware` in the agent's configuration against `otactl firmware show VERSION`. Sign again with "
                          "`--hardware` for each kind it is for."),
"wrong_product": ("The document is for another product than the device's.",
                  "Check `product` in the agent's configuration. To move a device: `otactl device approve DEVICE --product P`."),
"version_not_allowed": ("The version is older than what runs (and the release does not allow a downgrade), below the "
                        "security floor, or the device runs less than the firmware's `requires_version`.",
                        "To go back on purpose: `otactl release create VERSION --allow-downgrade`. Nothing goes below the security "
                        "floor: build a new version with a higher security version instead."),
"release_stale": ("The device has already accepted a release with a higher number. An old release, replayed, does "
                  "nothing.",
                  "If you meant it: create a new release. If nobody did, someone replays old messages: see "
                  "`otactl audit list`."),
"release_expired": ("The release's or the firmware's `not_after` has passed, as the device counts time.",
                    "Create a new release. Expiry stops new installations only; what runs goes on running."),
"signature_invalid": ("A signature does not fit the document, has the wrong length, or the envelope is of another type.",
                      "Sign again with the right key. If a device says so about a document that the plugin accepted, "
                      "the message was changed on its way: look at the audit log and at the broker."),
"signature_threshold": ("Fewer distinct keys signed than the trust root asks for.",
                        "Have the others sign too: `otactl firmware cosign`, `otactl root cosign`."),
"signer_not_trusted": ("The key that signed is not in the trust root for this role, or its scope (products, groups, "
                       "actions, expiry) does not cover the release.",
                       "`otactl root show` lists keys and scopes. A new manager's key comes in with "
                       "`otactl root rotate --add-releaser`."),
"root_gap": ("A trust root was offered that is not the successor of the one in hand.",
             "Give the versions in order: `otactl root update` with each."),
"tls_verify_failed": ("The other side's certificate is not to be trusted: another CA, another name, or expired. No "
                      "connection was made.",
                      "`otactl doctor` names the failed check. Compare the `broker` name with the certificate's alternative names and "
                      "the CA file with its issuer."),
"connection_lost": ("The connection to the broker was lost.",
                    "Nothing, if it passes: the device comes back and goes on where it was. Otherwise look at its "
                    "network, and at the broker's log for why it closed."),
"download_stalled": ("Data or an answer was asked for again and again and did not come in time.",
                     "Check the device's link. If many devices say so: `otactl status` (told to wait, bytes outstanding), "
                     "then a smaller `--max-concurrent`. From otactl: is the plugin loaded, and is the certificate a "
                     "manager's?"),
"chunk_refused": ("The plugin refused a piece: the file is not there, or the device may not have it.",
                  "`otactl firmware show VERSION` shows the packs; push them again. See `otactl audit list` for the refusal."),
"updates_disabled": ("The device, or its application, does not let the update start now.",
                     "`otactl device why DEVICE` names the gate, the reason and until when. `--force` at release time ignores "
                     "the gate; signatures, hardware and versions are still checked."),
"install_failed": ("A program that installs or restarts something ended with an error.",
                   "The log in `otactl device show DEVICE` is that program's own output."),
"bootloader_error": ("The boot state could not be read or changed, or the bootloader started another slot than it was "
                     "told.",
                     "Check `boot_state` and `boot_record` of the agent's configuration, and that the bootloader's environment "
                     "can be written. The device runs its old version."),
"health_check_failed": ("The new version started but its health command did not succeed in time. The old version is "
                        "back.",
                        "The log in `otactl device show DEVICE` is from the failed version. Mend it and release the next "
                        "version; this one is not tried again by itself."),
"no_connectivity_after_update": ("The new version started and was healthy but did not reach the broker, or was not granted "
                                 "its commit, before `confirm_timeout`; the broker had been reachable before. The old version is back.",
                                 "The log holds the connection errors of the failed version. Usual causes: a missing driver, a "
                                 "firewall rule, a changed certificate path, a clock that starts in 1970."),
"crash_loop": ("The new version ended, or the machine restarted, as many times as there are tries. The old version is "
               "back.",
               "The log shows how it ended (signal or exit code). Try the image on a development device first."),
"reverted_by_manager": ("A manager sent the device back to its previous version, or the release did because it was "
                        "halted and had been signed with `--rollback-on-halt`.",
                        "Nothing; it is what was asked for."),
"lost": ("The device went silent during the update, longer than the release's silence time. It counts as a failure; if it "
         "comes back it is believed.",
         "Find out whether it has power and network. If several are lost after restarting, hold the release: "
         "`otactl release hold NUMBER`."),
"internal": ("The program met a state that it should never meet.",
             "Please report it with the log, the versions (`otactl whoami`) and what was done."),
"bad_request": ("The command line, the command or a file does not have the right form. The message names the offender "
                "and what is allowed.",
                "Correct it; `otactl VERB --help` shows what a verb takes."),
"unauthorized": ("The token is unknown, expired or revoked.",
                 "Have an admin make another: `otactl token create`."),
"forbidden": ("Your role for this product does not allow this, or the broker refused the connection or topic.",
              "`otactl whoami` shows your roles. An admin changes them with `otactl manager set`."),
"not_found": ("There is no such product, device, firmware, release or file.",
              "Check the spelling, and `--product`. Names of products, versions and devices are case-sensitive."),
"conflict": ("It contradicts the state of things: it exists already, has ended already, or was changed meanwhile.",
             "Look at it again (`… show`) and decide anew."),
"not_proven": ("A version must have succeeded on at least one device before it goes to a whole product.",
               "`otactl release create VERSION --device DEVICE` first. An admin can use `--override`; it is audited."),
"too_large": ("A file, a list or a document is larger than what is allowed. The message says how large it may be.",
              "Send less at a time."),
"rate_limited": ("Too many messages or connections from this name in a short time. Nothing was done.",
                 "Wait a moment. For scripts with many steps an admin can raise `plugin_opt_messages_per_second` "
                 "and `plugin_opt_connects_per_minute`."),
"quota_exceeded": ("The plugin's store has no room for this upload: its quota is used, or too little of the disk would "
                   "stay free.",
                   "`otactl status` shows both. Delete firmware that was never released, or raise `plugin_opt_store_quota`."),
"signature_required": ("The step needs a signature that is not there.",
                       "Name the key: `--signing-key FILE`, or its line in the configuration."),
"approval_required": ("The product wants a second manager to approve each release.",
                      "Another manager: `otactl release approve NUMBER`."),
"no_targets": ("The release would reach no device at all.",
               "`otactl release dry-run VERSION` lists why each device is left out."),
"unreachable": ("Nobody answers at the broker's address, or the connection is down.",
                "`otactl doctor` looks at name, port and TLS one by one."),
"io_error": ("Reading or writing a file failed; the message names it and says why.",
             "Check path, permissions and free space."),
"version_exists": ("The version is there already with other bytes. Versions are immutable.",
                   "Give the new image another version."),
}


def page(error):
    means, do = PROSE[error["name"]]
    return (f"# {error['name']} ({error['number']})\n\n{error['sentence']}\n\n"
            f"Class: {CLASSES[error['class']]}.\n\n## What it means\n\n{means}\n\n"
            f"## What to do\n\n{do}\n")


def main():
    otactl = next(a for a in sys.argv[1:] if a != "--check")
    table = json.loads(subprocess.run([otactl, "explain", "--json"], check=True,
                                      capture_output=True, text=True).stdout)
    pages = {f"{error['name']}.md": page(error) for error in table}
    pages["README.md"] = "# Errors\n\n| number | name | |\n|---|---|---|\n" + "".join(
        f"| {e['number']} | [{e['name']}]({e['name']}.md) | {e['sentence']} |\n" for e in table)
    if "--check" not in sys.argv:
        for name, text in pages.items():
            (HERE / name).write_text(text)
        return 0
    there = {path.name: path.read_text() for path in HERE.glob("*.md")}
    wrong = sorted(name for name in there.keys() | pages.keys() if there.get(name) != pages.get(name))
    for name in wrong:
        print(f"doc/errors/{name} is not what doc/errors/make.py writes")
    print(f"{len(pages)} pages, {len(wrong)} wrong")
    return bool(wrong or set(PROSE) != {error["name"] for error in table})


sys.exit(main())
