# The demo's application, run by the shell that is in the firmware itself. It serves a page (that
# is what the health check asks for), and it is the device's way to the world: it dials the
# antenna and relays to the broker, byte for byte, with the firmware's own nc. So a firmware that
# does not do this has really cut off its device.
image=$1 web=$2 antenna=$3 broker=$4 pages=$5

"$image" httpd -f -p "127.0.0.1:$web" -h "$pages" &
page=$!
trap 'kill $page $relay 2>/dev/null; exit 0' TERM INT
while :; do
	"$image" nc 127.0.0.1 "$antenna" -e "$image" nc 127.0.0.1 "$broker" &
	relay=$!
	wait $relay
	"$image" sleep 1
done
