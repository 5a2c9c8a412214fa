"""A real agent under strace, which fails its calls from a chosen one on."""


def inject(agent, calls, what):
    """From its next start on: `what` is strace's, as in error=EIO:when=7+. All its threads
    are traced; what it starts makes none of these calls. strace runs
    beside it, so that the process to signal is the agent."""
    program = [str(agent.command[-3]), *map(str, agent.command[-2:])]
    agent.command = ["/usr/bin/strace", "-D", "-f", "-qqq", "-e", "signal=none", "-e", "trace=none",
                     "-e", f"inject={calls}:{what}", "--", *program]
    return agent


def heal(agent):
    """Without strace from its next start on."""
    agent.command = [str(word) for word in agent.command[-3:]]
    return agent


def whole(agent, *images):
    """The image that the link names, which must be one of these, whole."""
    running = agent.running_bytes()
    for image in images:
        if running == image.bytes:
            return image
    raise AssertionError(f"{agent.current} names {len(running)} bytes that are no image")
