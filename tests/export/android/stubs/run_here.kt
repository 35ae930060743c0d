// Runs the generated sources on the JVM: the parity test, then one image through each classifier.
package pfd.stubs

import android.content.Context
import android.graphics.Bitmap
import java.io.File

private fun bitmap(width: Int, height: Int): Bitmap {
    val rgb = File(System.getProperty("pfd.image")).readBytes().map { it.toInt() and 0xFF }
    val argb = IntArray(rgb.size / 3) {
        0xFF shl 24 or (rgb[3 * it] shl 16) or (rgb[3 * it + 1] shl 8) or rgb[3 * it + 2]
    }
    return Bitmap(width, height, argb)
}

private fun forget() = File(System.getProperty("pfd.fed")).delete()

fun main() {
    val context = Context(File(System.getProperty("pfd.assets")))
    if (System.getProperty("pfd.package") == "floats") {
        com.example.floats.ParityTest().litertComputesWhatPyTorchComputes()
        com.example.floats.ParityTest().executorchComputesWhatPyTorchComputes()
        forget()
        val image = bitmap(com.example.floats.Pixels.WIDTH, com.example.floats.Pixels.HEIGHT)
        com.example.floats.LiteRtClassifier(context.assets).use { println(it.classify(image)) }
        com.example.floats.ExecuTorchClassifier(context).use { println(it.classify(image)) }
    } else {
        com.example.bytes.ParityTest().litertComputesWhatPyTorchComputes()
        com.example.bytes.ParityTest().executorchComputesWhatPyTorchComputes()
        forget()
        val image = bitmap(com.example.bytes.Pixels.WIDTH, com.example.bytes.Pixels.HEIGHT)
        com.example.bytes.LiteRtClassifier(context.assets).use { println(it.classify(image)) }
        com.example.bytes.ExecuTorchClassifier(context).use { println(it.classify(image)) }
    }
}
