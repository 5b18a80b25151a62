"""What processes with one API key share: tokens, in Redis or Valkey (extra `redis`).

Nothing here is imported by `import amili_async`.
"""

from amili_async.shared.tokens import RedisTokens

__all__ = ["RedisTokens"]
