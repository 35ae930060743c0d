"""Android's own commands as far as the bench asks them, as shell scripts on the virtual phone.

They answer from the files of ``rootfs.py``, so a hook that changes a file changes the answer.
All else in ``/system/bin`` is busybox, as toybox is on a real phone.
"""

from __future__ import annotations

__all__ = ["SCRIPTS"]

_GETPROP = """#!/system/bin/sh
cd /dev/properties || exit 1
if (( $# )); then
  value=
  [[ -f $1 ]] && value=$(<"$1")
  print -r -- "${value:-${2-}}"
  exit 0
fi
for name in *; do
  print -r -- "[$name]: [$(<"$name")]"
done
"""

_DUMPSYS = """#!/system/bin/sh
[[ $1 == -l ]] && { cd /dev/dumpsys && print -r -- *; exit; }
if [[ -f /dev/dumpsys/hang ]]; then
  while :; do sleep 1; done
fi
if [[ -n $1 && -f /dev/dumpsys/$1 ]]; then
  print -rn -- "$(<"/dev/dumpsys/$1")"
  print
else
  print -ru2 -- "Can't find service: $1"
fi
"""

_SETTINGS = """#!/system/bin/sh
file=/dev/settings/$2/$3
case $1 in
get) if [[ -f $file ]]; then print -r -- "$(<"$file")"; else print null; fi ;;
put) print -r -- "$4" >"$file" ;;
delete) rm -f "$file" ;;
*) print -ru2 -- "Invalid command: $1"; exit 1 ;;
esac
"""

# The kernel has no separate wall clock for a namespace, so a changed one is the command's.
_DATE = """#!/system/bin/sh
offset=$(<"/dev/clock_offset_s")
if (( offset )); then
  exec busybox date -d "@$(( $(busybox date +%s) + offset ))" "$@"
fi
exec busybox date "$@"
"""

SCRIPTS = {
    "getprop": _GETPROP,
    "dumpsys": _DUMPSYS,
    "settings": _SETTINGS,
    "date": _DATE,
}
