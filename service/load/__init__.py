"""Load on a running service: scenarios of requests, an open loop that sends them, and a report of what came back.

Nothing here is imported by a process that serves.
"""
