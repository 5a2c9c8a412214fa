#include "advice.h"

#include <stddef.h>

struct row {
	enum ota_err err;
	const char *meaning, *remedy;
};

/* clang-format off */
static const struct row rows[] = {
	{OTA_BUSY,
	 "The other side had no room for this just now: a queue, a table or the "
	 "budget of bytes on their way was full. Nothing was done.",
	 "Nothing, if it passes. If `otactl status` shows a store queue near its "
	 "maximum for long, the broker's disk is too slow for its fleet; a "
	 "smaller `--max-concurrent` helps at once."},
	{OTA_SLOT_ERROR,
	 "The place for the new version could not be read or written, or it is "
	 "in use: mounted, held open, or the one that runs. The running version "
	 "was not touched.",
	 "Read the message: it names path and errno. Check that `slot_a` and "
	 "`slot_b` of the agent's configuration are two different places and "
	 "that nothing else uses the inactive one."},
	{OTA_OUT_OF_MEMORY,
	 "An allocation failed. The agent needs less than 8 MiB, whatever the "
	 "image's size.",
	 "See what else uses the device's memory, and whether a cgroup limit is "
	 "too low."},
	{OTA_INSUFFICIENT_STORAGE,
	 "The device has less room than the image needs. The message says how "
	 "many bytes are missing (ENOSPC, EDQUOT).",
	 "Free space on the device, or release a smaller image. The update goes "
	 "on by itself at the device's next hello once there is room."},
	{OTA_SEGMENT_HASH_MISMATCH,
	 "A piece of the image did not have the hash that the signed index "
	 "demands, from every source that was tried, or a pack is not "
	 "well-formed.",
	 "A damaged file on the broker, or on the HTTPS server that the message "
	 "names: `otactl firmware push` the same version again, or copy the blobs "
	 "anew. If it happens on one device only, suspect its memory or its "
	 "storage."},
	{OTA_IMAGE_HASH_MISMATCH,
	 "What was read back from the medium, or an image that was to be pushed, "
	 "is not the signed image.",
	 "On a device: its storage returns other bytes than were written; test "
	 "the medium. At `otactl firmware push`: the file changed after signing, "
	 "so sign it again."},
	{OTA_SIZE_MISMATCH,
	 "An image, a pack, an index or a file does not have the size that it "
	 "should have.",
	 "Sign and push again. On a device, check that the slot's size fits the "
	 "image."},
	{OTA_RESUME_MISMATCH,
	 "An interrupted transfer could not be continued where it stopped; it "
	 "begins again.",
	 "Nothing: the next attempt starts afresh."},
	{OTA_MANIFEST_INVALID,
	 "A signed document breaks the rules of its format, although its "
	 "signature is good. The message names the member and what is allowed.",
	 "Make the document again with a current otactl. If another program made "
	 "it, compare with `common/PROTOCOL.md`, section 5."},
	{OTA_INCOMPATIBLE_HARDWARE,
	 "The firmware does not name this device's hardware, so it was refused "
	 "before any download.",
	 "Check `hardware` in the agent's configuration against `otactl firmware "
	 "show VERSION`. Sign again with `--hardware` for each kind it is for."},
	{OTA_WRONG_PRODUCT,
	 "The document is for another product than the device's.",
	 "Check `product` in the agent's configuration. To move a device: "
	 "`otactl device approve DEVICE --product P`."},
	{OTA_VERSION_NOT_ALLOWED,
	 "The version is older than what runs (and the release does not allow a "
	 "downgrade), below the security floor, or the device runs less than the "
	 "firmware's `requires_version`.",
	 "To go back on purpose: `otactl release create VERSION "
	 "--allow-downgrade`. Nothing goes below the security floor: build a new "
	 "version with a higher security version instead."},
	{OTA_RELEASE_STALE,
	 "The device has already accepted a release with a higher number. An old "
	 "release, replayed, does nothing.",
	 "If you meant it: create a new release. If nobody did, someone replays "
	 "old messages: see `otactl audit list`."},
	{OTA_RELEASE_EXPIRED,
	 "The release's or the firmware's `not_after` has passed, as the device "
	 "counts time.",
	 "Create a new release. Expiry stops new installations only; what runs "
	 "goes on running."},
	{OTA_SIGNATURE_INVALID,
	 "A signature does not fit the document, has the wrong length, or the "
	 "envelope is of another type.",
	 "Sign again with the right key. If a device says so about a document "
	 "that the plugin accepted, the message was changed on its way: look at "
	 "the audit log and at the broker."},
	{OTA_SIGNATURE_THRESHOLD,
	 "Fewer distinct keys signed than the trust root asks for.",
	 "Have the others sign too: `otactl firmware cosign`, `otactl root "
	 "cosign`."},
	{OTA_SIGNER_NOT_TRUSTED,
	 "The key that signed is not in the trust root for this role, or its "
	 "scope (products, groups, actions, expiry) does not cover the release.",
	 "`otactl root show` lists keys and scopes. A new manager's key comes in "
	 "with `otactl root rotate --add-releaser`."},
	{OTA_ROOT_GAP,
	 "A trust root was offered that is not the successor of the one in hand.",
	 "Give the versions in order: `otactl root update` with each."},
	{OTA_TLS_VERIFY_FAILED,
	 "The other side's certificate is not to be trusted: another CA, another "
	 "name, or expired. No connection was made.",
	 "`otactl doctor` names the failed check. Compare the `broker` name (of an "
	 "HTTPS server: the host in `plugin_opt_source`) with the certificate's "
	 "alternative names and the CA file with its issuer."},
	{OTA_CONNECTION_LOST,
	 "The connection to the broker was lost, or to the HTTPS server that the "
	 "message names.",
	 "Nothing, if it passes: the device comes back and goes on where it was. "
	 "Otherwise look at its network, and at the broker's log for why it "
	 "closed. A download goes on without an HTTPS server that is gone: is it "
	 "up, and does it let the device's certificate in?"},
	{OTA_DOWNLOAD_STALLED,
	 "Data or an answer was asked for again and again and did not come in "
	 "time.",
	 "Check the device's link. If many devices say so: `otactl status` (told "
	 "to wait, bytes outstanding), then a smaller `--max-concurrent`; or the "
	 "HTTPS server that the message names is too slow for them. From otactl: "
	 "is the plugin loaded, and is the certificate a manager's?"},
	{OTA_CHUNK_REFUSED,
	 "The plugin refused a piece: the file is not there, or the device may "
	 "not have it. Or an HTTPS server, which the message then names, gave "
	 "another answer than the range that was asked for.",
	 "`otactl firmware show VERSION` shows the packs; push them again. See "
	 "`otactl audit list` for the refusal. Of an HTTPS server: compare it "
	 "with doc/nginx.conf; the download went on without it."},
	{OTA_UPDATES_DISABLED,
	 "The device, or its application, does not let the update start now.",
	 "`otactl device why DEVICE` names the gate, the reason and until when. "
	 "`--force` at release time ignores the gate; signatures, hardware and "
	 "versions are still checked."},
	{OTA_INSTALL_FAILED,
	 "A program that installs or restarts something ended with an error.",
	 "The log in `otactl device show DEVICE` is that program's own output."},
	{OTA_BOOTLOADER_ERROR,
	 "The boot state could not be read or changed, or the bootloader started "
	 "another slot than it was told.",
	 "Check `boot_state` and `boot_record` of the agent's configuration, and "
	 "that the bootloader's environment can be written. The device runs its "
	 "old version."},
	{OTA_HEALTH_CHECK_FAILED,
	 "The new version started but its health command did not succeed in "
	 "time. The old version is back.",
	 "The log in `otactl device show DEVICE` is from the failed version. "
	 "Mend it and release the next version; this one is not tried again by "
	 "itself."},
	{OTA_NO_CONNECTIVITY_AFTER_UPDATE,
	 "The new version started and was healthy but did not reach the broker, "
	 "or was not granted its commit, before `confirm_timeout`; the broker "
	 "had been reachable before. The old version is back.",
	 "The log holds the connection errors of the failed version. Usual "
	 "causes: a missing driver, a firewall rule, a changed certificate path, "
	 "a clock that starts in 1970."},
	{OTA_CRASH_LOOP,
	 "The new version ended, or the machine restarted, as many times as "
	 "there are tries. The old version is back.",
	 "The log shows how it ended (signal or exit code). Try the image on a "
	 "development device first."},
	{OTA_REVERTED_BY_MANAGER,
	 "A manager sent the device back to its previous version, or the release "
	 "did because it was halted and had been signed with "
	 "`--rollback-on-halt`.",
	 "Nothing; it is what was asked for."},
	{OTA_LOST,
	 "The device went silent during the update, longer than the release's "
	 "silence time. It counts as a failure; if it comes back it is believed.",
	 "Find out whether it has power and network. If several are lost after "
	 "restarting, hold the release: `otactl release hold NUMBER`."},
	{OTA_INTERNAL,
	 "The program met a state that it should never meet.",
	 "Please report it with the log, the versions (`otactl whoami`) and what "
	 "was done."},
	{OTA_CRASHED_IN_TRIAL,
	 "The new version started and ran for a while, but crashed before its "
	 "trial was over, at each of its tries. The old version is back.",
	 "The log shows how it ended (signal or exit code) and after how long. "
	 "Look for what it does at that moment: a timer, a full queue, a lost "
	 "connection."},
	{OTA_NOT_RESPONDING,
	 "The new version's process was there, but `health_command` never came "
	 "back with an answer. The old version is back.",
	 "Look for what the program waits for (a lock, a device that is not "
	 "there). Was it slow only, give it more `health_timeout`."},
	{OTA_MEMORY_EXHAUSTED,
	 "The kernel killed the new version because it took more memory than the "
	 "machine, or its control group, has. The old version is back.",
	 "Look for a leak, or for a buffer that grows with its input. `MemoryMax=` "
	 "of the service limits the agent and its application together."},
	{OTA_STORAGE_EXHAUSTED,
	 "There was room on the device's storage before the new version started, "
	 "and none while it ran. The old version is back.",
	 "Look for logs, queues or core files that the new version writes; "
	 "delete what it left on the device."},
	{OTA_NOT_EXECUTABLE,
	 "The kernel would not run the image: it is for another processor, needs "
	 "a loader that is not there, or is no program. The old version is back.",
	 "Check what was built: `file IMAGE`. The firmware's `hardware` list "
	 "keeps an image from boards that it is not for."},
	{OTA_IMAGE_TRUNCATED,
	 "The image was signed and arrived as it was signed, but by its own "
	 "header (ELF, squashfs, ext4) it should be longer. It did not run; the "
	 "old version is back.",
	 "Look at the build: a full disk, a copy that was interrupted, a step "
	 "that did not wait for the one before it. Build again, with a new "
	 "version."},
	{OTA_AGENT_KILLED,
	 "While the new version was on trial the agent itself was ended and "
	 "started again, more often than chance explains. The old version is "
	 "back.",
	 "Let the application run as another user than the agent, which then "
	 "cannot be killed by it; look for `kill`, `pkill` and watchdogs in it."},
	{OTA_NO_NETWORK_AFTER_UPDATE,
	 "With the new version the device had no way to the network at all: no "
	 "interface, no address or no route. The old version is back.",
	 "Look at the new version's network set-up and drivers. The log holds "
	 "the connection errors."},
	{OTA_BAD_REQUEST,
	 "The command line, the command or a file does not have the right form. "
	 "The message names the offender and what is allowed.",
	 "Correct it; `otactl VERB --help` shows what a verb takes."},
	{OTA_UNAUTHORIZED,
	 "The token is unknown, expired or revoked.",
	 "Have an admin make another: `otactl token create`."},
	{OTA_FORBIDDEN,
	 "Your role for this product does not allow this, or the broker refused "
	 "the connection or topic.",
	 "`otactl whoami` shows your roles. An admin changes them with `otactl "
	 "manager set`."},
	{OTA_NOT_FOUND,
	 "There is no such product, device, firmware, release or file.",
	 "Check the spelling, and `--product`. Names of products, versions and "
	 "devices are case-sensitive."},
	{OTA_CONFLICT,
	 "It contradicts the state of things: it exists already, has ended "
	 "already, or was changed meanwhile.",
	 "Look at it again (`… show`) and decide anew."},
	{OTA_NOT_PROVEN,
	 "A version must have succeeded on at least one device before it goes to "
	 "a whole product.",
	 "`otactl release create VERSION --device DEVICE` first. An admin can "
	 "use `--override`; it is audited."},
	{OTA_TOO_LARGE,
	 "A file, a list or a document is larger than what is allowed. The "
	 "message says how large it may be.",
	 "Send less at a time."},
	{OTA_RATE_LIMITED,
	 "Too many messages or connections from this name in a short time. "
	 "Nothing was done.",
	 "Wait a moment. For scripts with many steps an admin can raise "
	 "`plugin_opt_messages_per_second` and `plugin_opt_connects_per_minute`."},
	{OTA_QUOTA_EXCEEDED,
	 "The plugin's store has no room for this upload: its quota is used, or "
	 "too little of the disk would stay free.",
	 "`otactl status` shows both. Delete firmware that was never released, "
	 "or raise `plugin_opt_store_quota`."},
	{OTA_SIGNATURE_REQUIRED,
	 "The step needs a signature that is not there.",
	 "Name the key: `--signing-key FILE`, or its line in the configuration."},
	{OTA_APPROVAL_REQUIRED,
	 "The product wants a second manager to approve each release.",
	 "Another manager: `otactl release approve NUMBER`."},
	{OTA_NO_TARGETS,
	 "The release would reach no device at all.",
	 "`otactl release dry-run VERSION` lists why each device is left out."},
	{OTA_UNREACHABLE,
	 "Nobody answers at the broker's address, or the connection is down.",
	 "`otactl doctor` looks at name, port and TLS one by one."},
	{OTA_IO_ERROR,
	 "Reading or writing a file failed; the message names it and says why.",
	 "Check path, permissions and free space."},
	{OTA_VERSION_EXISTS,
	 "The version is there already with other bytes. Versions are immutable.",
	 "Give the new image another version."},
};
/* clang-format on */

static const struct row *find(enum ota_err err)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].err == err)
			return &rows[i];
	return NULL;
}

const char *advice_meaning(enum ota_err err)
{
	const struct row *row = find(err);

	return row ? row->meaning : "";
}

const char *advice_remedy(enum ota_err err)
{
	const struct row *row = find(err);

	return row ? row->remedy : "";
}
