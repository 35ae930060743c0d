// Runs the generated sources on the JVM: the parity test, then one image through each classifier.
package pfd.stubs

import android.content.Context
import android.graphics.Bitmap
import com.example.classifier.ExecuTorchClassifier
import com.example.classifier.LiteRtClassifier
import com.example.classifier.ParityTest
import com.example.classifier.Pixels
import java.io.File

fun main() {
    val parity = ParityTest()
    parity.litertComputesWhatPyTorchComputes()
    parity.executorchComputesWhatPyTorchComputes()
    File(System.getProperty("pfd.fed")).delete()
    val rgb = File(System.getProperty("pfd.image")).readBytes().map { it.toInt() and 0xFF }
    val argb = IntArray(rgb.size / 3) {
        0xFF shl 24 or (rgb[3 * it] shl 16) or (rgb[3 * it + 1] shl 8) or rgb[3 * it + 2]
    }
    val bitmap = Bitmap(Pixels.WIDTH, Pixels.HEIGHT, argb)
    val context = Context(File(System.getProperty("pfd.assets")))
    LiteRtClassifier(context.assets).use { println(it.classify(bitmap)) }
    ExecuTorchClassifier(context).use { println(it.classify(bitmap)) }
}
