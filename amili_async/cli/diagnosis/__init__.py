"""What `amili doctor` checks: the settings, the way to the API, the API itself, and the fields that it sends.

Invariant: each check is a value; nothing here prints. No check holds a credential, or anything of a record but names.
"""
