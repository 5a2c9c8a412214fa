/* The demo's bad firmware: it starts, answers the health check, and offers no way to the
 * broker. Called as the meter's firmware is: sh SCRIPT IMAGE WEB-PORT … */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char page[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	struct sockaddr_in address = {.sin_family = AF_INET};
	int on = 1, door = socket(AF_INET, SOCK_STREAM, 0), caller;
	char request[4096];

	address.sin_port = htons((unsigned short)(argc > 4 ? strtoul(argv[4], NULL, 10) : 0));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(door, (struct sockaddr *)&address, sizeof(address)) || listen(door, 8))
		return 1;
	while ((caller = accept(door, NULL, NULL)) >= 0) {
		if (read(caller, request, sizeof(request)) > 0 &&
		    write(caller, page, sizeof(page) - 1) < 0)
			return 1;
		close(caller);
	}
	return 1;
}
