"""What the tests share that need real processes: brokers of three Mosquitto versions with our
plugin inside, a PKI, signing keys, clients of every role, real agents and otactl."""
