"""Authentication and roles. Only the verifiers open files and connections."""
