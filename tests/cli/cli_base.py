"""What tests of the command share: the program, a capture file, and a folder that goes away.

Arguments of the test: PATH-OF-TAMIS PATH-OF-A-CAPTURE
"""
import os
import subprocess
import sys
import tempfile
import unittest

TAMIS, CAPTURE = (os.path.abspath(path) for path in sys.argv[1:3])


def tamis(*args, **kwargs):
    return subprocess.run([TAMIS, *args], capture_output=True, timeout=60, **kwargs)


class Base(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def fails(self, code, pattern, *args, **kwargs):
        result = tamis(*args, **kwargs)
        self.assertEqual(result.returncode, code, (args, result.stderr))
        self.assertRegex(result.stderr.decode(), pattern)
        self.assertEqual(result.stdout, b"")
        return result.stderr.decode()

    def works(self, *args, **kwargs):
        result = tamis(*args, **kwargs)
        self.assertEqual(result.returncode, 0, (args, result.stderr))
        return result.stdout.decode()
