# Boots slot a or b as ota-agent's variables in U-Boot's environment say (boot_state = uboot,
# agent/bootstate_uboot.c). The environment must be the redundant one. Ends with ${slot} = a or b;
# load and boot that slot's kernel behind it.
#
# A try is counted before the jump; one that cannot be counted is not made.
setenv slot a
if test -n "${ota_active}"; then
	setenv slot ${ota_active}
	if test "${ota_phase}" = armed || test "${ota_phase}" = trying; then
		if test "${ota_tries}" -gt 0; then
			setexpr ota_tries ${ota_tries} - 1
			setenv ota_phase trying
			if saveenv; then
				setenv slot ${ota_trying}
			fi
		else
			setenv ota_phase returned
			setenv ota_exhausted 1
			setenv ota_bootable_${ota_trying} 0
			saveenv
		fi
	fi
fi
