"""What the commands share: flags, hints and exit codes. The library's errors name no flags; the commands add them."""
