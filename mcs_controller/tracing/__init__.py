"""One change of a provider's slice as an OpenTelemetry trace: `changes` says which one it is, `spans` writes it down.

`spans` needs the optional packages, and is imported by `--tracing` alone.
"""
