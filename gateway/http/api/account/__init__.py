"""What people do with their own account: sign in, keys, usage, requests. All of it is JSON under /account."""
