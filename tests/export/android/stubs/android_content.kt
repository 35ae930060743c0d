// Stand-ins for the few Android classes that the generated sources call, over a folder of files.
package android.content

import android.content.res.AssetManager
import java.io.File

class Context(private val folder: File) {
    val assets: AssetManager = AssetManager(folder)
    val filesDir: File = File(System.getProperty("pfd.files"))
}
