package presence

import "os"

// sharedMemory is empty, because macOS has no tmpfs.
const sharedMemory = ""

func isTmpfs(*os.File) bool { return false }
